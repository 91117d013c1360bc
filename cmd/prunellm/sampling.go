package main

import (
	"fmt"
	"strings"

	"prunellm/internal/flags"
	"prunellm/models"
	"prunellm/openapi"
)

// samplingFlags set the sampling of requests that have no settings. Their names are llama-server's.
type samplingFlags struct {
	Temp          *float64 `help:"Default for requests: temperature. Unset: the recommendation in the model's file, or 0.8." placeholder:"T"`
	TopP          *float64 `help:"Default for requests: top_p. Unset: the recommendation in the model's file, or 0.95." placeholder:"P"`
	TopK          *float64 `help:"Default for requests: top_k; 0 keeps all tokens. Unset: the recommendation in the model's file, or 40." placeholder:"K"`
	MinP          *float64 `help:"Default for requests: min_p. Unset: the recommendation in the model's file, or 0.05." placeholder:"P"`
	RepeatPenalty *float64 `help:"Default for requests: repetition_penalty. Unset: the recommendation in the model's file, or 1." placeholder:"N"`
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
			kind := ""
			if s.Whole {
				kind = "a whole number from "
			}
			faults = append(faults, fmt.Errorf("--%s is %v but must be %s%.10g to %.10g", samplingFlag(s.Name), v, kind, s.Least, s.Most))
		}
	}
	return flags.Join(faults)
}

// samplingFlag returns the name of the flag for a setting of requests.
func samplingFlag(setting string) string {
	switch setting {
	case "temperature":
		return "temp"
	case "repetition_penalty":
		return "repeat-penalty"
	}
	return strings.ReplaceAll(setting, "_", "-")
}

// sampling returns the settings for requests that have none: the flags, then the model's file, then openapi.DefaultSampling.
func (f samplingFlags) sampling(model *models.GGUF) openapi.Sampling {
	return openapi.DefaultSampling.With(model.Sampling()).With(f.named())
}
