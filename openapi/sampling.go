package openapi

// Sampling holds the settings for sampling that a server can give defaults.
type Sampling struct {
	Temperature       float64
	TopP              float64
	TopK              int // 0 keeps all
	MinP              float64
	RepetitionPenalty float64
}

// DefaultSampling applies where neither request, operator nor model specifies a value. The values are llama-server's. With
// OpenAI's own defaults, the server would draw from the whole vocabulary, whose tail a small or pruned model ranks badly.
var DefaultSampling = Sampling{Temperature: 0.8, TopP: 0.95, TopK: 40, MinP: 0.05, RepetitionPenalty: 1}

// With returns s with the values of named, whose keys are the names of fields in requests. Unknown keys are ignored.
func (s Sampling) With(named map[string]float64) Sampling {
	for name, field := range map[string]*float64{
		"temperature": &s.Temperature, "top_p": &s.TopP, "min_p": &s.MinP, "repetition_penalty": &s.RepetitionPenalty,
	} {
		if v, ok := named[name]; ok {
			*field = v
		}
	}
	if k, ok := named["top_k"]; ok {
		s.TopK = max(int(k), 0) // -1 is another way to keep all
	}
	return s
}
