package models

import (
	"math"
	"strconv"

	"prunellm/models/gguf"
)

// Sampling holds settings for sampling that a model's author recommends, by their names in generation_config.json and in
// requests. A setting that is absent has no recommendation.
type Sampling map[string]float64

// SamplingSetting is one setting and where files keep it.
type SamplingSetting struct {
	Name        string // in generation_config.json and in requests
	GGUF        string // llama.cpp's metadata key
	Whole       bool   // the key holds an int32 rather than a float32
	Least, Most float64
}

// SamplingSettings are the settings that a file can recommend. Bounds are those of requests.
var SamplingSettings = [...]SamplingSetting{
	{Name: "temperature", GGUF: "general.sampling.temp", Most: 2},
	{Name: "top_p", GGUF: "general.sampling.top_p", Most: 1},
	{Name: "top_k", GGUF: "general.sampling.top_k", Whole: true, Least: -1, Most: math.MaxInt32},
	{Name: "min_p", GGUF: "general.sampling.min_p", Most: 1},
	{Name: "repetition_penalty", GGUF: "general.sampling.penalty_repeat", Least: 0.01, Most: 10},
}

// Holds reports whether a value is within the setting's bounds.
func (s SamplingSetting) Holds(v float64) bool {
	return v >= s.Least && v <= s.Most && (!s.Whole || v == math.Trunc(v))
}

// SamplingFromGGUF returns the settings that a file recommends. It leaves out a value that a request could not have:
// a wrong recommendation is no reason to refuse a model.
func SamplingFromGGUF(f *gguf.File) Sampling {
	s := Sampling{}
	for _, setting := range SamplingSettings {
		var v float64
		switch raw, _ := f.Value(setting.GGUF); raw := raw.(type) {
		case float32: // 0.95, not 0.949999988079071
			v, _ = strconv.ParseFloat(strconv.FormatFloat(float64(raw), 'g', -1, 32), 64)
		case int32:
			v = float64(raw)
		default:
			continue
		}
		if setting.Holds(v) {
			s[setting.Name] = v
		}
	}
	return s
}

// KV returns the metadata that recommends a value, in the type that llama.cpp reads.
func (s SamplingSetting) KV(v float64) gguf.KV {
	if s.Whole {
		return gguf.KV{Key: s.GGUF, Value: int32(v)}
	}
	return gguf.KV{Key: s.GGUF, Value: float32(v)}
}

// Sampling returns the settings for sampling that the file recommends.
func (g *GGUF) Sampling() Sampling { return SamplingFromGGUF(g.file) }
