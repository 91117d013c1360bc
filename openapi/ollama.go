package openapi

import (
	"encoding/json"
	"fmt"
	"strings"
)

// OllamaRequest is the body of POST /api/chat or /api/generate.
type OllamaRequest struct {
	Common
	Turn
	Logprobs int  // alternatives per token, 0 to MaxTopLogprobs; -1: no log probabilities
	Load     bool // there is nothing to answer: the request only loads the model
	// Of /api/generate. The turn has the prompt as its message, unless the prompt is taken as it is.
	Prompt  string
	Suffix  string // the answer goes between prompt and suffix
	Raw     bool
	Context []int // tokens of an earlier conversation, which come before the prompt
}

// taggedLatest is how Ollama's clients write a name without a tag.
const taggedLatest = ":latest"

// Untagged returns a model name without the tag that Ollama's clients put behind names that have none.
func Untagged(name string) string { return strings.TrimSuffix(name, taggedLatest) }

// Tagged returns a model name as Ollama lists it: with a tag.
func Tagged(name string) string {
	if strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		return name
	}
	return name + taggedLatest
}

// DecodeOllamaChat reads the body of POST /api/chat. The error is an *Error.
func DecodeOllamaChat(body []byte, defaults Sampling) (*OllamaRequest, error) {
	f := parseBody(body)
	req := newOllama(defaults)
	req.read(f)
	req.Messages = readOllamaMessages(f)
	req.Load = len(req.Messages) == 0
	req.readTools(f, true)
	req.constrain(&req.Constraint, f)
	if !req.Load {
		req.readOpening(f)
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// DecodeOllamaGenerate reads the body of POST /api/generate. The error is an *Error.
func DecodeOllamaGenerate(body []byte, defaults Sampling) (*OllamaRequest, error) {
	f := parseBody(body)
	req := newOllama(defaults)
	req.read(f)
	var system string
	f.text("prompt", &req.Prompt)
	f.text("suffix", &req.Suffix)
	f.text("system", &system)
	f.boolean("raw", &req.Raw)
	f.only("template", "the operator chooses the chat template by --chat-template", `""`)
	f.only("images", "the model reads text alone", "[]")
	if raw, ok := f.get("context"); ok {
		req.Context = f.tokens("context", raw)
	}
	asIs := req.Raw || req.Suffix != ""
	switch {
	case req.Raw && req.Suffix != "":
		f.refuse("suffix", CodeInvalidValue, "raw takes the prompt as it is: it cannot be combined with suffix")
	case asIs && (system != "" || len(req.Context) > 0):
		f.refuse("raw", CodeInvalidValue, "raw and suffix take the prompt as it is: they cannot be combined with system or context")
	}
	req.Load = req.Prompt == "" && req.Suffix == ""
	if !asIs {
		if system != "" {
			req.Messages = []Message{{Role: "system", Content: system}}
		}
		req.Messages = append(req.Messages, Message{Role: "user", Content: req.Prompt})
	}
	req.constrainText(f, asIs)
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// constrainText makes the format of a prompt that is taken as it is a constraint: there is no turn.
func (r *OllamaRequest) constrainText(f *fields, asIs bool) {
	r.constrain(&r.Constraint, f)
	if !asIs || r.Format.Type == FormatText {
		return
	}
	r.Constraint = Constraint{Field: r.Format.Field, Schema: r.Format.Schema}
	if r.Format.Type == FormatJSONObject {
		r.Constraint.Schema = json.RawMessage(`{"type":"object"}`)
	}
	r.Format = ResponseFormat{Type: FormatText}
}

func newOllama(defaults Sampling) *OllamaRequest {
	req := &OllamaRequest{Common: newCommon(defaults), Turn: newTurn(), Logprobs: -1}
	req.Stream = true
	return req
}

// read reads what chats and texts have in common.
func (r *OllamaRequest) read(f *fields) {
	r.readTaggedModel(f, "model")
	f.boolean("stream", &r.Stream)
	r.readOptions(f)
	readKeepAlive(f)
	var ignored bool
	f.boolean("truncate", &ignored) // a prompt that is too long is refused either way
	f.boolean("shift", &ignored)
	f.only("_debug_render_only", "/apply-template shows the prompt of messages", "false")
	r.readOllamaFormat(f)
	r.readThink(f)
	asked := false
	f.boolean("logprobs", &asked)
	top := 0
	if f.count("top_logprobs", 0, MaxTopLogprobs, &top); asked {
		r.Logprobs = top
	}
}

func (c *Common) readTaggedModel(f *fields, field string) {
	if _, ok := f.get(field); !ok {
		return
	}
	var name string
	if f.str(field, MaxModelNameBytes+len(taggedLatest), &name); f.err == nil {
		c.Model, f.err = parseModelName(Untagged(name))
	}
}

// readOptions reads options, which hold what other APIs have beside the messages. Those of the hardware pass: they change no
// answer.
func (c *Common) readOptions(f *fields) {
	options, ok := f.object("options")
	if !ok {
		return
	}
	c.readSampling(options)
	if c.Seed != nil && *c.Seed < 0 { // Ollama's word for a random one
		c.Seed = nil
	}
	predict := 0 // negative: no limit
	if options.count("num_predict", -2, MaxTokensAsked, &predict); predict > 0 {
		c.MaxTokens = predict
	}
	options.count("num_ctx", 0, MaxTokensAsked, &c.Context)
	options.only("n_probs", "use logprobs and top_logprobs beside options", "0")
	f.err = options.err
}

// readKeepAlive checks the type of keep_alive: seconds or a duration such as "5m". The server decides how long variants stay
// loaded.
func readKeepAlive(f *fields) {
	if raw, ok := f.get("keep_alive"); ok && kindOf(raw) != "a string" && kindOf(raw) != "a number" {
		f.wrongType("keep_alive", raw, "a number of seconds or a duration")
	}
}

func (t *Turn) readOllamaFormat(f *fields) {
	raw, ok := f.get("format")
	if !ok {
		return
	}
	t.Format = ResponseFormat{Type: FormatJSONSchema, Field: "format"}
	if kindOf(raw) == "a string" {
		var name string
		switch f.str("format", maxIdentifierSize, &name); name {
		case "":
			t.Format = ResponseFormat{Type: FormatText}
		case "json":
			t.Format.Type = FormatJSONObject
		default:
			f.refuse("format", CodeInvalidValue, "format is %q but must be json or a JSON schema", name)
		}
		return
	}
	t.Format.Schema = f.schema("format")
}

// readThink reads whether the model thinks: a boolean, or how much.
func (t *Turn) readThink(f *fields) {
	raw, ok := f.get("think")
	if !ok {
		return
	}
	if kindOf(raw) == "a boolean" {
		t.Thinking.Enabled = new(bool)
		f.boolean("think", t.Thinking.Enabled)
		return
	}
	if f.str("think", maxIdentifierSize, &t.Thinking.Effort); f.err != nil {
		return
	}
	switch t.Thinking.Effort {
	case "low", "medium", "high":
	default:
		f.refuse("think", CodeInvalidValue, "think is %q but must be true, false, low, medium or high", t.Thinking.Effort)
	}
}

// AsksToThink reports whether the request wants thinking of a model that may have none.
func (t *Turn) AsksToThink() bool {
	return t.Thinking.Effort != "" || t.Thinking.Enabled != nil && *t.Thinking.Enabled
}

// OllamaEmbedRequest is the body of POST /api/embed or /api/embeddings.
type OllamaEmbedRequest struct {
	Model      ModelName
	Inputs     []string
	Truncate   bool // cut inputs that are longer than the context
	Dimensions int  // as in EmbeddingRequest
}

// DecodeOllamaEmbed reads the body of POST /api/embed. The error is an *Error.
func DecodeOllamaEmbed(body []byte) (*OllamaEmbedRequest, error) {
	f := parseBody(body)
	var common Common
	common.readTaggedModel(f, "model")
	req := &OllamaEmbedRequest{Model: common.Model, Truncate: true}
	f.boolean("truncate", &req.Truncate)
	f.count("dimensions", 1, MaxTokensAsked, &req.Dimensions)
	f.object("options")
	readKeepAlive(f)
	f.require("input")
	if raw, ok := f.get("input"); ok && kindOf(raw) == "a string" {
		var text string
		if f.text("input", &text); text != "" { // an empty one loads the model
			req.Inputs = []string{text}
		}
	} else {
		elements := f.array("input", 0, MaxInputs)
		for i, element := range elements {
			name := fmt.Sprintf("input[%d]", i)
			var text string
			if json.Unmarshal(element, &text) != nil || kindOf(element) != "a string" {
				f.wrongType(name, element, "a string")
			} else if text == "" {
				f.refuse(name, CodeInvalidValue, "%s is empty", name)
			}
			f.checkText(name, text)
			req.Inputs = append(req.Inputs, text)
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// DecodeOllamaEmbeddings reads the body of POST /api/embeddings, the older form for one text. The error is an *Error.
func DecodeOllamaEmbeddings(body []byte) (*OllamaEmbedRequest, error) {
	f := parseBody(body)
	var common Common
	common.readTaggedModel(f, "model")
	req := &OllamaEmbedRequest{Model: common.Model, Truncate: true}
	f.object("options")
	readKeepAlive(f)
	var text string
	if f.text("prompt", &text); text != "" {
		req.Inputs = []string{text}
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// OllamaNamed is the body of requests about a model: POST /api/show and /api/pull.
type OllamaNamed struct {
	Model  ModelName
	Stream bool // of /api/pull
}

// DecodeOllamaNamed reads such a body. The error is an *Error.
func DecodeOllamaNamed(body []byte) (*OllamaNamed, error) {
	f := parseBody(body)
	req := &OllamaNamed{Stream: true}
	var common Common
	field := "model"
	if _, ok := f.get(field); !ok {
		field = "name" // the older one
	}
	if common.readTaggedModel(f, field); f.err == nil && common.Model.Base == "" {
		f.refuse("model", CodeMissing, "model is missing")
	}
	f.boolean("stream", &req.Stream)
	if f.err != nil {
		return nil, f.err
	}
	req.Model = common.Model
	return req, nil
}
