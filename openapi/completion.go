package openapi

import (
	"encoding/json"
	"fmt"
)

// Prompt is the beginning of a text, given as text or as tokens.
type Prompt struct {
	Text   string
	Tokens []int // not nil: the client sent tokens
}

// CompletionRequest is the body of POST /v1/completions.
type CompletionRequest struct {
	Common
	Prompts  []Prompt
	Suffix   string // the answer goes between prompt and suffix
	Echo     bool   // the answer begins with the prompt, and with Logprobs its tokens are listed too
	NoAnswer bool   // max_tokens is 0: the client only wants the echo
	Logprobs int    // alternatives per token, 0 to MaxTextLogprobs; -1: no log probabilities
}

// DecodeCompletion reads the body of POST /v1/completions. The error is an *Error.
func DecodeCompletion(body []byte, defaults Sampling) (*CompletionRequest, error) {
	f := parseBody(body)
	req := &CompletionRequest{Common: newCommon(defaults), Logprobs: -1}
	f.boolean("echo", &req.Echo)
	req.readNoAnswer(f)
	req.read(f)
	req.Prompts = readPrompts(f, "prompt", MaxChoices)
	f.count("logprobs", 0, MaxTextLogprobs, &req.Logprobs)
	if n := f.countProbs(); n > 0 {
		if req.Logprobs >= 0 && req.Logprobs != n {
			f.refuse("n_probs", CodeInvalidValue, "n_probs is %d and logprobs is %d: send only one of them", n, req.Logprobs)
		}
		req.Logprobs = n
	}
	req.readSuffix(f)
	if raw, ok := f.get("best_of"); ok {
		best := req.N
		f.count("best_of", 1, MaxN, &best)
		if best != req.N {
			f.refuse("best_of", CodeUnsupported, "best_of is %s and n is %d: choosing the best of several answers is not supported", raw, req.N)
		}
	}
	if choices := len(req.Prompts) * req.N; choices > MaxChoices {
		f.refuse("n", CodeInvalidValue, "%d prompts times n = %d are %d answers; the limit is %d", len(req.Prompts), req.N, choices, MaxChoices)
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// readSuffix reads the text that follows the answer. Only a text can come before it.
func (r *CompletionRequest) readSuffix(f *fields) {
	if f.text("suffix", &r.Suffix); r.Suffix == "" {
		return
	}
	if r.Echo {
		f.refuse("suffix", CodeUnsupported, "suffix cannot be combined with echo: the prompt is not all that the model reads")
	}
	for _, prompt := range r.Prompts {
		if prompt.Tokens != nil {
			f.refuse("suffix", CodeUnsupported, "suffix needs a prompt of text, not of tokens")
		}
	}
}

// readNoAnswer accepts a max_tokens of 0 if the request asks for an echo.
func (r *CompletionRequest) readNoAnswer(f *fields) {
	raw, ok := f.get("max_tokens")
	if value, isInteger := parseInteger(raw); ok && r.Echo && isInteger && value == 0 {
		r.NoAnswer = true
		delete(f.members, "max_tokens")
	}
}

// readPrompts reads prompt, or another field of its type, with at most the given number of texts. The value is a string, an array
// of strings, an array of tokens, or an array of such arrays.
func readPrompts(f *fields, field string, most int) []Prompt {
	f.require(field)
	raw, ok := f.get(field)
	if !ok {
		return nil
	}
	if kindOf(raw) == "a string" {
		var text string
		f.text(field, &text)
		return []Prompt{{Text: text}}
	}
	if kindOf(raw) != "an array" {
		f.wrongType(field, raw, "a string, an array of strings or tokens, or an array of arrays of tokens")
		return nil
	}
	if elements := firstOf(raw); kindOf(elements) == "a number" {
		return []Prompt{{Tokens: f.tokens(field, raw)}}
	}
	elements := f.array(field, 1, most)
	prompts := make([]Prompt, len(elements))
	for i, element := range elements {
		name := fmt.Sprintf("%s[%d]", field, i)
		switch kindOf(element) {
		case "a string":
			if json.Unmarshal(element, &prompts[i].Text) != nil {
				f.wrongType(name, element, "a string")
			}
			f.checkText(name, prompts[i].Text)
		case "an array":
			prompts[i].Tokens = f.tokens(name, element)
			if len(prompts[i].Tokens) == 0 {
				f.refuse(name, CodeInvalidValue, "%s has no tokens", name)
			}
		default:
			f.wrongType(name, element, "a string or an array of tokens")
		}
	}
	return prompts
}

// firstOf returns the first byte of an array's first element, which determines the element's type.
func firstOf(array json.RawMessage) json.RawMessage {
	for _, c := range array[1:] {
		switch c {
		case ' ', '\t', '\n', '\r':
		case ']':
			return nil
		default:
			return json.RawMessage{c}
		}
	}
	return nil
}

// CompletionResponse is the response to a completion.
type CompletionResponse struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"` // "text_completion"
	Created           int64              `json:"created"`
	Model             string             `json:"model"`
	Choices           []CompletionChoice `json:"choices"`
	Usage             *Usage             `json:"usage,omitempty"`
	SystemFingerprint string             `json:"system_fingerprint"`
}

// CompletionChunk is one event of a streamed completion.
type CompletionChunk struct {
	CompletionResponse
	Usage **Usage `json:"usage,omitempty"` // replaces the response's usage; see NoUsageYet
}

// CompletionChoice is one text. The choices of prompt p have the indices p*n to p*n+n-1.
type CompletionChoice struct {
	Index        int           `json:"index"`
	Text         string        `json:"text"`
	Logprobs     *TextLogprobs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"` // "stop", "length" or, before the end, null
}

// TextLogprobs lists tokens with their log probabilities in the older form of parallel arrays.
type TextLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float64           `json:"token_logprobs"` // null for the first token of a prompt
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"` // characters from the beginning of the choice's text
}
