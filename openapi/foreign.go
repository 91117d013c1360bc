package openapi

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
)

// defaultRepeatWindow is how far llama.cpp's repetition penalty looks back where a request does not say it.
const defaultRepeatWindow = 64

// readRepetition reads the repetition penalty: vLLM's repetition_penalty of all tokens so far, or llama.cpp's repeat_penalty
// of the last repeat_last_n.
func (c *Common) readRepetition(f *fields) {
	_, all := f.get("repetition_penalty")
	_, recent := f.get("repeat_penalty")
	if all && recent {
		f.refuse("repeat_penalty", CodeInvalidValue, "%srepeat_penalty and repetition_penalty are two names of one penalty: send only one of them", f.path)
	}
	f.number("repetition_penalty", 0.01, 10, &c.RepetitionPenalty)
	f.number("repeat_penalty", 0.01, 10, &c.RepetitionPenalty)
	if recent && c.RepetitionWindow == 0 {
		c.RepetitionWindow = defaultRepeatWindow
	}
	if _, said := f.get("repeat_last_n"); !said {
		return
	}
	window := c.RepetitionWindow
	switch f.count("repeat_last_n", -1, math.MaxInt32, &window); window {
	case -1: // the whole context
		c.RepetitionWindow = 0
	case 0:
		c.RepetitionWindow, c.RepetitionPenalty = 0, 1
	default:
		c.RepetitionWindow = window
	}
}

// countProbs reads llama-server's number of alternatives per token. 0, its default, asks for no log probabilities at all.
func (f *fields) countProbs() (n int) {
	f.count("n_probs", 0, MaxTopLogprobs, &n)
	return n
}

// foreignField is a field of another server that this one does not have.
type foreignField struct {
	name    string
	why     string   // it is refused
	nothing []string // JSON of the values that ask for nothing
	orLess  bool     // so does every number below
}

// foreignFields lists fields of llama-server and vLLM that change an answer, so that a request never gets another one than it
// asks for. Fields that change neither the tokens nor where they end are left out: cache_prompt, id_slot, n_keep and
// response_fields, for instance.
var foreignFields = []foreignField{
	{name: "dynatemp_range", why: "the temperature does not vary", nothing: []string{"0"}},
	{name: "top_n_sigma", why: "tokens are kept by top_k, top_p, min_p and typical_p", nothing: []string{"0"}, orLess: true},
	{name: "xtc_probability", why: "no likely token is left out", nothing: []string{"0"}},
	{name: "dry_multiplier", why: "repetition_penalty, presence_penalty and frequency_penalty are", nothing: []string{"0"}},
	{name: "tfs_z", why: "tokens are kept by top_k, top_p, min_p and typical_p", nothing: []string{"1"}},
	{name: "mirostat", why: "use temperature, top_k, top_p and min_p", nothing: []string{"0"}},
	{name: "min_keep", why: "top_k, top_p and min_p keep what they say", nothing: []string{"1"}, orLess: true},
	{name: "samplers", why: "their order is fixed", nothing: []string{"[]", `""`}},
	{name: "n_indent", why: "only /infill ends by indentation", nothing: []string{"0"}, orLess: true},
	{name: "t_max_predict_ms", why: "only /infill ends by time", nothing: []string{"0"}, orLess: true},
	{name: "post_sampling_probs", why: "log probabilities are the model's own", nothing: []string{"false"}},
	{name: "image_data", why: "the model reads text alone", nothing: []string{"[]"}},
	{name: "lora", why: "there are no adapters", nothing: []string{"[]"}},
	{name: "grammar_lazy", why: "a grammar holds from the beginning", nothing: []string{"false"}},
	{name: "grammar_triggers", why: "a grammar holds from the beginning", nothing: []string{"[]"}},

	{name: "min_tokens", why: "an answer ends where the model ends it; ignore_eos is supported", nothing: []string{"0"}},
	{name: "stop_token_ids", why: "use stop", nothing: []string{"[]"}},
	{name: "include_stop_str_in_output", why: "a stop string is not part of the answer", nothing: []string{"false"}},
	{name: "skip_special_tokens", why: "answers have no special tokens", nothing: []string{"true"}},
	{name: "allowed_token_ids", why: "use logit_bias or a grammar", nothing: []string{"[]"}},
	{name: "bad_words", why: "use logit_bias", nothing: []string{"[]"}},
	{name: "logits_processors", why: "the server runs no code of requests", nothing: []string{"[]"}},
	{name: "truncate_prompt_tokens", why: "prompts are not cut"},
	{name: "prompt_logprobs", why: "use echo and logprobs of /v1/completions"},
	{name: "use_beam_search", why: "answers are sampled", nothing: []string{"false"}},
	{name: "chat_template", why: "the operator chooses it by --chat-template", nothing: []string{`""`}},
	{name: "documents", why: "put them into a message", nothing: []string{"[]"}},
	{name: "mm_processor_kwargs", why: "the model reads text alone", nothing: []string{"{}"}},
}

// refuseForeign refuses foreign fields, unless their value asks for nothing.
func (f *fields) refuseForeign() {
	for _, row := range foreignFields {
		if raw, ok := f.get(row.name); ok && !row.asksNothing(raw) {
			f.refuse(row.name, CodeUnsupported, "%s%s is not supported: %s", f.path, row.name, row.why)
		}
	}
}

func (r foreignField) asksNothing(raw json.RawMessage) bool {
	if kindOf(raw) != "a number" {
		var compact bytes.Buffer
		return json.Compact(&compact, raw) == nil && slices.Contains(r.nothing, compact.String())
	}
	var given float64
	if json.Unmarshal(raw, &given) != nil {
		return false
	}
	return slices.ContainsFunc(r.nothing, func(text string) bool {
		var value float64
		return json.Unmarshal([]byte(text), &value) == nil && (given == value || r.orLess && given < value)
	})
}
