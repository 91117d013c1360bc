package openapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// MaxSnippets is the maximum number of snippets in a request for infilling.
const MaxSnippets = 256

// maxInfillMillis bounds the time limit of an answer, in milliseconds.
const maxInfillMillis = 1 << 31

// InfillRequest is the body of POST /infill.
type InfillRequest struct {
	Common
	Prefix, Suffix string
	Extra          []Snippet
	Logprobs       int           // alternatives per token; -1: no log probabilities
	Warm           bool          // no answer is wanted: the prompt goes into the prompt cache
	Indent         int           // the answer ends at a line with less indentation; 0: at none
	TimeLimit      time.Duration // of the answer, which then ends with its line; 0: none
	EndEarly       bool          // llama.cpp's infill sampler
	Fields         []string      // of the response; nil: all
}

// Snippet is a part of another file.
type Snippet struct{ File, Text string }

// DecodeInfill reads the body of POST /infill. The error is an *Error.
func DecodeInfill(body []byte, defaults Sampling) (*InfillRequest, error) {
	f := parseBody(body)
	req := &InfillRequest{Common: newCommon(defaults), Logprobs: -1}
	f.require("input_prefix")
	f.text("input_prefix", &req.Prefix)
	f.require("input_suffix")
	f.text("input_suffix", &req.Suffix)
	var line string
	f.text("prompt", &line)
	req.Prefix += line // llama-server puts it there
	req.readSnippets(f)
	req.readLimits(f)
	samplers, listed := readSamplers(f)
	req.read(f)
	f.only("n", "there is one answer", "1")
	if n := f.countProbs(); n > 0 {
		req.Logprobs = n
	}
	if listed {
		req.takeSamplers(f, samplers)
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

func (r *InfillRequest) readSnippets(f *fields) {
	for i, element := range f.array("input_extra", 0, MaxSnippets) {
		inner := &fields{path: fmt.Sprintf("input_extra[%d].", i)}
		snippet := Snippet{File: "tmp"}
		if f.err = inner.parse(element); f.err == nil {
			inner.require("text")
			inner.text("text", &snippet.Text)
			inner.str("filename", maxIdentifierSize, &snippet.File)
			inner.checkText("filename", snippet.File)
			f.err = inner.err
		}
		if f.err != nil {
			return
		}
		r.Extra = append(r.Extra, snippet)
	}
}

// readLimits reads the fields that only infilling has, and takes them from what is refused elsewhere.
func (r *InfillRequest) readLimits(f *fields) {
	if raw, ok := f.get("n_predict"); ok {
		if value, isInteger := parseInteger(raw); isInteger && value == 0 {
			r.Warm = true
			delete(f.members, "n_predict")
		}
	}
	f.count("n_indent", 0, MaxTokensAsked, &r.Indent)
	delete(f.members, "n_indent")
	millis := 0
	f.count("t_max_predict_ms", -1, maxInfillMillis, &millis)
	delete(f.members, "t_max_predict_ms")
	r.TimeLimit = time.Duration(max(millis, 0)) * time.Millisecond
	for i, element := range f.array("response_fields", 0, MaxParts) {
		var name string
		if json.Unmarshal(element, &name) != nil || kindOf(element) != "a string" || len(name) > maxIdentifierSize {
			f.wrongType(fmt.Sprintf("response_fields[%d]", i), element, "a short string")
			return
		}
		r.Fields = append(r.Fields, name)
	}
}

// samplerOrder lists the names of samplers in the order in which the engine applies them.
var samplerOrder = []string{"penalties", "temperature", "min_p", "top_k", "typ_p", "top_p", "infill"}

// absentSamplers are those that the server does not have. Their own fields turn them on, and are refused.
var absentSamplers = []string{"dry", "top_n_sigma", "xtc"}

func readSamplers(f *fields) (names []string, listed bool) {
	_, listed = f.get("samplers")
	for i, element := range f.array("samplers", 0, len(samplerOrder)+len(absentSamplers)) {
		var name string
		if json.Unmarshal(element, &name) != nil {
			f.wrongType(fmt.Sprintf("samplers[%d]", i), element, "a string")
			return nil, false
		}
		if name == "typical_p" {
			name = "typ_p"
		}
		switch {
		case slices.Contains(absentSamplers, name):
		case !slices.Contains(samplerOrder, name) || slices.Contains(names, name):
			f.refuse("samplers", CodeUnsupported, "samplers[%d] is %.40q: it is unknown or there twice", i, name)
		default:
			names = append(names, name)
		}
	}
	delete(f.members, "samplers")
	return names, listed
}

// takeSamplers turns off the samplers that a list leaves out, and refuses a list in whose order the engine does not sample.
func (r *InfillRequest) takeSamplers(f *fields, names []string) {
	off := map[string]func(){
		"penalties":   func() { r.RepetitionPenalty, r.PresencePenalty, r.FrequencyPenalty = 1, 0, 0 },
		"temperature": func() { r.Temperature = 1 },
		"min_p":       func() { r.MinP = 0 },
		"top_k":       func() { r.TopK = 0 },
		"typ_p":       func() { r.TypicalP = 1 },
		"top_p":       func() { r.TopP = 1 },
		"infill":      func() {},
	}
	idle := map[string]bool{
		"penalties":   r.RepetitionPenalty == 1 && r.PresencePenalty == 0 && r.FrequencyPenalty == 0,
		"temperature": r.Temperature == 1, "min_p": r.MinP == 0, "top_k": r.TopK == 0, "typ_p": r.TypicalP == 1, "top_p": r.TopP == 1,
	}
	for name, turnOff := range off {
		if !slices.Contains(names, name) {
			turnOff()
		}
	}
	r.EndEarly = slices.Contains(names, "infill")
	last := -1
	for _, name := range names {
		at := slices.Index(samplerOrder, name)
		if idle[name] {
			continue
		}
		if at < last {
			f.refuse("samplers", CodeUnsupported, "samplers has %s behind %s: the server samples in the order %v", name, samplerOrder[last], samplerOrder)
		}
		last = at
	}
}

// InfillResponse is the response of POST /infill, or the last event of its stream.
type InfillResponse struct {
	Index           int           `json:"index"`
	Content         string        `json:"content"`
	Tokens          []int         `json:"tokens"` // none
	Stop            bool          `json:"stop"`
	Model           string        `json:"model"` // the variant that answered
	TokensPredicted int           `json:"tokens_predicted"`
	TokensEvaluated int           `json:"tokens_evaluated"` // of the prompt
	TokensCached    int           `json:"tokens_cached"`    // of these, from the prompt cache
	HasNewLine      bool          `json:"has_new_line"`
	Truncated       bool          `json:"truncated"` // the prompt was cut to the context
	StopType        string        `json:"stop_type"` // "eos", "limit", "word" or, without an answer, "none"
	StoppingWord    string        `json:"stopping_word"`
	Timings         InfillTimings `json:"timings"`

	Probabilities []InfillToken `json:"completion_probabilities,omitempty"`
}

// InfillTimings are counts and times in milliseconds.
type InfillTimings struct {
	CacheN             int     `json:"cache_n"`
	PromptN            int     `json:"prompt_n"` // prefilled
	PromptMillis       float64 `json:"prompt_ms"`
	PromptPerToken     float64 `json:"prompt_per_token_ms"`
	PromptPerSecond    float64 `json:"prompt_per_second"`
	PredictedN         int     `json:"predicted_n"`
	PredictedMillis    float64 `json:"predicted_ms"`
	PredictedPerToken  float64 `json:"predicted_per_token_ms"`
	PredictedPerSecond float64 `json:"predicted_per_second"`
}

// InfillToken is a token with its log probability and the likeliest alternatives.
type InfillToken struct {
	ID int `json:"id"`
	Logprob
	Top []InfillToken `json:"top_logprobs,omitempty"`
}

// InfillEvent is an event of a stream before the last.
type InfillEvent struct {
	Index         int           `json:"index"`
	Content       string        `json:"content"`
	Tokens        []int         `json:"tokens"`
	Stop          bool          `json:"stop"` // false
	Probabilities []InfillToken `json:"completion_probabilities,omitempty"`
}
