package infer

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Limits of a Request. They bound memory and the work of one step.
const (
	MaxLogprobs  = 256     // alternatives for each token
	MaxAnswers   = 128     // of one prompt
	MaxStopBytes = 1 << 16 // bytes of all stop strings together
	maxBias      = 1e4     // absolute logit bias
)

// validatePrompt returns an error if the prompt and an answer of so many tokens do not fit the context.
func (e *Engine) validatePrompt(prompt []Token, answer int) error {
	context := e.dec.ContextSize()
	if len(prompt) == 0 {
		return &ParameterError{Field: "prompt", Reason: "has no tokens"}
	}
	if len(prompt) > context-answer {
		return &ContextError{Prompt: len(prompt), Context: context, Whole: answer == 0}
	}
	return e.validateTokens("prompt", prompt)
}

// validateTokens returns a ParameterError if a token is not one of the vocabulary.
func (e *Engine) validateTokens(field string, tokens []Token) error {
	vocab := Token(e.dec.VocabSize())
	for i, t := range tokens {
		if t < 0 || t >= vocab {
			return &ParameterError{Field: field, Reason: fmt.Sprintf("token %d at %d is not one of the vocabulary's %d", t, i, vocab)}
		}
	}
	return nil
}

// validate returns a ParameterError for the first field of a request that is out of range.
func (e *Engine) validate(req Request) error {
	if err := e.validatePrompt(req.Prompt, min(req.MaxTokens, 1)); err != nil {
		return err
	}
	if err := e.validateTokens("prediction", req.Prediction); err != nil {
		return err
	}
	if context := e.dec.ContextSize(); len(req.Prediction) > context {
		return &ParameterError{Field: "prediction", Reason: fmt.Sprintf("has %d tokens, the context holds %d", len(req.Prediction), context)}
	}
	if req.PromptLogprobs && req.Logprobs < 0 {
		return &ParameterError{Field: "logprobs", Reason: "must be at least 0 to get those of the prompt"}
	}
	if req.MaxTokens < 0 || (req.MaxTokens == 0 && !req.PromptLogprobs) {
		return &ParameterError{Field: "max_tokens", Reason: fmt.Sprintf("%d, must be at least 1", req.MaxTokens)}
	}
	if req.Logprobs < -1 || req.Logprobs > MaxLogprobs {
		return &ParameterError{Field: "logprobs", Reason: fmt.Sprintf("%d, must be -1 to %d", req.Logprobs, MaxLogprobs)}
	}
	total := 0
	for i, s := range req.Stop {
		if s == "" || !utf8.ValidString(s) {
			return &ParameterError{Field: "stop", Reason: fmt.Sprintf("string %d is empty or not valid UTF-8", i)}
		}
		if total += len(s); total > MaxStopBytes {
			return &ParameterError{Field: "stop", Reason: fmt.Sprintf("more than %d bytes in total", MaxStopBytes)}
		}
	}
	if req.Sampling.Infill && req.Grammar != "" {
		return &ParameterError{Field: "grammar", Reason: "cannot be combined with the infill sampler, which ends answers by itself"}
	}
	if err := req.Thinking.validate(); err != nil {
		return err
	}
	return req.Sampling.validate(e.dec.VocabSize())
}

func (s Sampling) validate(vocab int) error {
	for _, field := range []struct {
		name       string
		value      float64
		least, top float64
	}{
		{"temperature", s.Temperature, 0, 1e6},
		{"top_k", float64(s.TopK), 0, math.MaxInt32},
		{"top_p", s.TopP, 0, 1},
		{"min_p", s.MinP, 0, 1},
		{"typical_p", s.TypicalP, 0, 1},
		{"repetition_penalty", s.RepetitionPenalty, 0, 1e3},
		{"repeat_last_n", float64(s.RepetitionWindow), 0, math.MaxInt32},
		{"presence_penalty", s.PresencePenalty, -1e3, 1e3},
		{"frequency_penalty", s.FrequencyPenalty, -1e3, 1e3},
	} {
		if !(field.value >= field.least && field.value <= field.top) { // NaN fails both
			return &ParameterError{Field: field.name, Reason: fmt.Sprintf("%g, must be %g to %g", field.value, field.least, field.top)}
		}
	}
	if s.Infill && (s.TopK < 1 || s.TopK > MaxInfillTopK) {
		return &ParameterError{Field: "top_k", Reason: fmt.Sprintf("%d, must be 1 to %d with the infill sampler", s.TopK, MaxInfillTopK)}
	}
	for t, bias := range s.LogitBias {
		switch {
		case t < 0 || int(t) >= vocab:
			return &ParameterError{Field: "logit_bias", Reason: fmt.Sprintf("token %d is not one of the vocabulary's %d", t, vocab)}
		case !(math.Abs(bias) <= maxBias):
			return &ParameterError{Field: "logit_bias", Reason: fmt.Sprintf("%g for token %d, must be from -%[3]g to %[3]g", bias, t, maxBias)}
		}
	}
	return nil
}
