package main

import (
	"fmt"
	"slices"

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

// samplingFlag is a flag, and the setting of requests that it sets.
type samplingFlag struct {
	name, setting string
	value         *float64
}

// rows returns the flags that are set.
func (f samplingFlags) rows() []samplingFlag {
	return slices.DeleteFunc([]samplingFlag{
		{"temp", "temperature", f.Temp},
		{"top-p", "top_p", f.TopP},
		{"top-k", "top_k", f.TopK},
		{"min-p", "min_p", f.MinP},
		{"repeat-penalty", "repetition_penalty", f.RepeatPenalty},
	}, func(row samplingFlag) bool { return row.value == nil })
}

// named returns the flags that are set, by their names in requests.
func (f samplingFlags) named() map[string]float64 {
	out := map[string]float64{}
	for _, row := range f.rows() {
		out[row.setting] = *row.value
	}
	return out
}

// Validate checks each flag that is set.
func (f samplingFlags) Validate() error {
	var faults []error
	for _, row := range f.rows() {
		if err := models.CheckSampling(row.setting, *row.value); err != nil {
			faults = append(faults, fmt.Errorf("--%s %w", row.name, err))
		}
	}
	return flags.Join(faults)
}

// sampling returns the settings for requests that have none: the flags, then the model's file, then openapi.DefaultSampling.
func (f samplingFlags) sampling(model *models.GGUF) openapi.Sampling {
	return openapi.DefaultSampling.With(model.Sampling()).With(f.named())
}
