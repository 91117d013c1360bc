package main

import (
	"errors"
	"fmt"

	"prunellm/models"
	"prunellm/openapi"
)

// samplingFlags hold for requests that do not say how to sample. Their names are llama-server's.
type samplingFlags struct {
	Temp          *float64 `help:"Temperature of requests that name none. Unset: what the model's file recommends, or 0.8." placeholder:"T"`
	TopP          *float64 `help:"top_p of requests that name none. Unset: what the model's file recommends, or 0.95." placeholder:"P"`
	TopK          *float64 `help:"top_k of requests that name none; 0 keeps all tokens. Unset: what the model's file recommends, or 40." placeholder:"K"`
	MinP          *float64 `help:"min_p of requests that name none. Unset: what the model's file recommends, or 0.05." placeholder:"P"`
	RepeatPenalty *float64 `help:"repetition_penalty of requests that name none. Unset: what the model's file recommends, or 1." placeholder:"N"`
}

// named returns the flags that are set, by their names in requests.
func (f samplingFlags) named() map[string]float64 {
	out := map[string]float64{}
	for name, value := range map[string]*float64{
		"temperature": f.Temp, "top_p": f.TopP, "top_k": f.TopK, "min_p": f.MinP, "repetition_penalty": f.RepeatPenalty,
	} {
		if value != nil {
			out[name] = *value
		}
	}
	return out
}

// Validate checks each flag that is set.
func (f samplingFlags) Validate() error {
	var faults []error
	named := f.named()
	for _, s := range models.SamplingSettings {
		if v, ok := named[s.Name]; ok && !s.Holds(v) {
			faults = append(faults, fmt.Errorf("the default %s is %v, which no request may ask for: it must be %v to %v", s.Name, v, s.Least, s.Most))
		}
	}
	return errors.Join(faults...)
}

// sampling is what holds for requests that say nothing: the flags, then the model's file, then openapi.DefaultSampling.
func (f samplingFlags) sampling(model *models.GGUF) openapi.Sampling {
	return openapi.DefaultSampling.With(model.Sampling()).With(f.named())
}
