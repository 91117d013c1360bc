package models

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"prunellm/models/gguf"
)

// Sampling holds the sampling settings that a model's author recommends, by their names in generation_config.json and
// in requests. An absent setting has no recommendation.
type Sampling map[string]float64

// SamplingSetting describes one sampling setting: its names in files and its bounds.
type SamplingSetting struct {
	Name        string // in generation_config.json and in requests
	GGUF        string // llama.cpp's metadata key
	Whole       bool   // whether the value of the key is an int32 instead of a float32
	Least, Most float64
}

// SamplingSettings lists the settings that a file can recommend. The bounds are those of requests.
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

// CheckSampling returns an error if a value is out of the bounds of the setting with that name. It panics on an unknown name.
func CheckSampling(name string, v float64) error {
	at := slices.IndexFunc(SamplingSettings[:], func(s SamplingSetting) bool { return s.Name == name })
	s := SamplingSettings[at]
	switch {
	case s.Holds(v):
		return nil
	case s.Whole:
		return fmt.Errorf("is %v but must be a whole number from %.10g to %.10g", v, s.Least, s.Most)
	}
	return fmt.Errorf("is %v but must be %.10g to %.10g", v, s.Least, s.Most)
}

// SamplingFromGGUF returns the settings that a file recommends. It ignores a value that no request may have, because a
// wrong recommendation is no reason to reject a model.
func SamplingFromGGUF(f *gguf.File) Sampling {
	s := Sampling{}
	for _, setting := range SamplingSettings {
		var v float64
		switch raw, _ := f.Value(setting.GGUF); raw := raw.(type) {
		case float32: // shortest decimal: 0.95 and not 0.949999988079071
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

// KV returns the metadata that recommends a value. It has the type that llama.cpp reads.
func (s SamplingSetting) KV(v float64) gguf.KV {
	if s.Whole {
		return gguf.KV{Key: s.GGUF, Value: int32(v)}
	}
	return gguf.KV{Key: s.GGUF, Value: float32(v)}
}

// Sampling returns the sampling settings that the file recommends.
func (g *GGUF) Sampling() Sampling { return SamplingFromGGUF(g.file) }
