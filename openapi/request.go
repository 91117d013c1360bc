package openapi

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Limits of requests. They bound the work of one request.
const (
	MaxChoices        = 128     // answers of one request: n times prompts
	MaxN              = 16      // choices per prompt
	MaxMessages       = 2048    // messages of a chat
	MaxParts          = 256     // text parts of one message
	MaxStops          = 16      // stop strings
	MaxStopBytes      = 256     // bytes of one stop string
	MaxLogitBias      = 4096    // entries of logit_bias
	MaxTopLogprobs    = 20      // alternatives per token in chats
	MaxTextLogprobs   = 5       // alternatives per token in completions
	MaxTokensAsked    = 1 << 30 // a larger value is an error; below it, max_tokens is cut to the context
	maxIdentifierSize = 512     // user and similar fields
)

// Common holds the fields of both chats and completions: number of answers, sampling, streaming. Ranges are OpenAI's.
type Common struct {
	Model        ModelName
	N            int
	Stream       bool
	IncludeUsage bool // the last chunk of the stream carries the usage
	MaxTokens    int  // of the answer; 0: the rest of the context
	Context      int  // tokens of prompt and answer together; 0: as many as the model's context
	Sampling
	TypicalP         float64
	RepetitionWindow int // tokens that RepetitionPenalty looks back; 0: all
	PresencePenalty  float64
	FrequencyPenalty float64
	LogitBias        map[int]float64 // token id to the bias of its logit, -100 to 100
	Seed             *int64          // nil: the server draws a random one
	Stop             []string
	IgnoreEOS        bool
	Constraint       Constraint
}

func newCommon(defaults Sampling) Common {
	return Common{N: 1, Sampling: defaults, TypicalP: 1}
}

func (c *Common) read(f *fields) {
	c.readModel(f)
	f.count("n", 1, MaxN, &c.N)
	f.boolean("stream", &c.Stream)
	c.readStreamOptions(f)
	f.dropNoLimit("max_tokens")
	f.count("max_tokens", 1, MaxTokensAsked, &c.MaxTokens)
	c.readLimit(f, "n_predict")
	c.readSampling(f)
}

// readSampling reads how to sample tokens and when an answer ends.
func (c *Common) readSampling(f *fields) {
	f.number("temperature", 0, 2, &c.Temperature)
	f.number("top_p", 0, 1, &c.TopP)
	f.count("top_k", -1, math.MaxInt32, &c.TopK)
	c.TopK = max(c.TopK, 0) // -1 is vLLM's value for "all"
	f.number("min_p", 0, 1, &c.MinP)
	f.number("typical_p", 0, 1, &c.TypicalP)
	c.readRepetition(f)
	f.number("presence_penalty", -2, 2, &c.PresencePenalty)
	f.number("frequency_penalty", -2, 2, &c.FrequencyPenalty)
	f.boolean("ignore_eos", &c.IgnoreEOS)
	if _, ok := f.get("seed"); ok {
		c.Seed = new(int64)
		f.integer("seed", math.MinInt64, math.MaxInt64, c.Seed)
	}
	c.readStop(f, "stop")
	c.readLogitBias(f)
	var ignored string
	for _, name := range []string{"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"} {
		f.str(name, maxIdentifierSize, &ignored) // they do not change the answer
	}
	c.Constraint = readConstraint(f)
	f.refuseForeign()
}

func (c *Common) readModel(f *fields) {
	if _, ok := f.get("model"); !ok {
		return
	}
	var name string
	f.str("model", MaxModelNameBytes, &name)
	if f.err != nil {
		return
	}
	c.Model, f.err = parseModelName(name)
}

func (c *Common) readStreamOptions(f *fields) {
	options, ok := f.object("stream_options")
	if !ok {
		return
	}
	if !c.Stream {
		f.refuse("stream_options", CodeInvalidValue, "stream_options is only allowed when stream is true")
		return
	}
	options.boolean("include_usage", &c.IncludeUsage)
	options.only("include_obfuscation", "chunks are not padded", "false")
	f.err = options.err
}

// readLimit reads a further name of max_tokens. A request may have both if they agree.
func (c *Common) readLimit(f *fields, name string) {
	if _, ok := f.get(name); !ok {
		return
	}
	f.dropNoLimit(name)
	other := c.MaxTokens
	f.count(name, 1, MaxTokensAsked, &c.MaxTokens)
	if other != 0 && other != c.MaxTokens {
		f.refuse("max_tokens", CodeInvalidValue, "max_tokens is %d and %s is %d: send only one of them", other, name, c.MaxTokens)
	}
}

// readStop reads the stop strings, which have another name in some APIs.
func (c *Common) readStop(f *fields, name string) {
	raw, ok := f.get(name)
	if !ok {
		return
	}
	c.Stop = nil
	if kindOf(raw) == "a string" {
		var stop string
		if f.text(name, &stop); stop == "" { // some clients send an empty string for no stop string
			return
		}
		c.Stop = []string{stop}
	} else {
		for i, element := range f.array(name, 0, MaxStops) {
			var stop string
			if json.Unmarshal(element, &stop) != nil || kindOf(element) == "null" {
				f.wrongType(fmt.Sprintf("%s[%d]", name, i), element, "a string")
				return
			}
			c.Stop = append(c.Stop, stop)
		}
	}
	for _, stop := range c.Stop {
		if stop == "" || len(stop) > MaxStopBytes {
			f.refuse(name, CodeInvalidValue, "a stop string has %d bytes but must have 1 to %d", len(stop), MaxStopBytes)
		}
		f.checkText(name, stop)
	}
}

// dropNoLimit removes a limit of -1, which some clients send for no limit.
func (f *fields) dropNoLimit(name string) {
	raw, ok := f.get(name)
	if value, isInteger := parseInteger(raw); ok && isInteger && value == -1 {
		delete(f.members, name)
	}
}

// hints checks the types of fields that the server may ignore.
func (f *fields) hints(names ...string) {
	for _, name := range names {
		var ignored string
		f.str(name, maxIdentifierSize, &ignored)
	}
}

// readStore accepts store. The server never stores answers, and its responses say so.
func (f *fields) readStore() {
	var ignored bool
	f.boolean("store", &ignored)
}

func (c *Common) readLogitBias(f *fields) {
	inner, ok := f.object("logit_bias")
	if !ok {
		return
	}
	if len(inner.members) > MaxLogitBias {
		f.refuse("logit_bias", CodeInvalidValue, "logit_bias has %d entries; the limit is %d", len(inner.members), MaxLogitBias)
		return
	}
	c.LogitBias = make(map[int]float64, len(inner.members))
	for key := range inner.members {
		token, err := strconv.ParseInt(key, 10, 32)
		if err != nil || token < 0 || strconv.FormatInt(token, 10) != key {
			f.refuse("logit_bias", CodeInvalidValue, "logit_bias has the key %.20q but keys must be token ids", key)
			return
		}
		var bias float64
		inner.number(key, -100, 100, &bias)
		c.LogitBias[int(token)] = bias
	}
	if inner.err != nil {
		f.refuse("logit_bias", *inner.err.Code, "%s", inner.err.Message)
	}
}
