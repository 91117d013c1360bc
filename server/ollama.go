package server

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// ollamaChat answers POST /api/chat.
func (s *Server) ollamaChat(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeOllamaChat(c.Request().Body(), s.options.Sampling)
	if err != nil {
		return err
	}
	form := ollamaForm{field: "messages", line: chatLine, think: req.AsksToThink()}
	return s.ollamaAnswer(c, j, req, form, func(v *Variant) (infer.Request, error) {
		return s.turnRequest(v, &req.Turn, &req.Common, form.field)
	})
}

// ollamaGenerate answers POST /api/generate.
func (s *Server) ollamaGenerate(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeOllamaGenerate(c.Request().Body(), s.options.Sampling)
	if err != nil {
		return err
	}
	form := ollamaForm{field: "prompt", line: generateLine, think: req.AsksToThink(), remembers: !req.Raw && req.Suffix == ""}
	return s.ollamaAnswer(c, j, req, form, func(v *Variant) (infer.Request, error) { return s.generateRequest(v, req) })
}

// generateRequest returns the engine's request for a prompt: as a turn of a chat, or as it is.
func (s *Server) generateRequest(v *Variant, req *openapi.OllamaRequest) (infer.Request, error) {
	if req.Suffix != "" {
		prompt, err := s.betweenPrompt(v, "prompt", req.Prompt, req.Suffix)
		if err != nil {
			return infer.Request{}, err
		}
		return request(v, "prompt", prompt, &req.Common, false)
	}
	if req.Raw {
		prompt, err := tokenize(v, "prompt", chat.Piece{Text: req.Prompt, Special: true})
		if err != nil {
			return infer.Request{}, err
		}
		return request(v, "prompt", prompt, &req.Common, false)
	}
	prompt, err := s.turnPrompt(v, &req.Turn, "prompt")
	if err != nil {
		return infer.Request{}, promptField(err, "prompt")
	}
	if len(req.Context) > 0 {
		before, err := givenTokens(v, "context", req.Context)
		if err != nil {
			return infer.Request{}, err
		}
		if prompt[0] == before[0] && len(v.Piece(prompt[0], false)) == 0 { // a text begins once
			prompt = prompt[1:]
		}
		prompt = slices.Concat(before, prompt)
	}
	return s.answerRequest(v, &req.Turn, &req.Common, "prompt", prompt)
}

// ollamaForm is how the two endpoints differ.
type ollamaForm struct {
	field     string               // of the request that has the prompt
	line      func(ollamaLine) any // makes the wire's object
	think     bool                 // the request wants thinking
	remembers bool                 // the end has the tokens of prompt and answer
}

// ollamaLine is what a line says, in either form.
type ollamaLine struct {
	model    string
	created  string
	message  openapi.OllamaMessage
	done     string // the reason; empty: the answer goes on
	logprobs []openapi.TokenLogprob
	context  []int
	stats    openapi.OllamaStats
}

func chatLine(l ollamaLine) any {
	return openapi.OllamaChatResponse{
		Model: l.model, CreatedAt: l.created, Message: l.message, Done: l.done != "", DoneReason: l.done, Logprobs: l.logprobs, OllamaStats: l.stats,
	}
}

func generateLine(l ollamaLine) any {
	return openapi.OllamaGenerateResponse{
		Model: l.model, CreatedAt: l.created, Response: l.message.Content, Thinking: l.message.Thinking, Done: l.done != "", DoneReason: l.done,
		Context: l.context, Logprobs: l.logprobs, OllamaStats: l.stats,
	}
}

func newOllamaLine(model string) ollamaLine {
	return ollamaLine{model: model, created: openapi.OllamaTime(time.Now()), message: openapi.OllamaMessage{Role: "assistant"}}
}

// ollamaAnswer answers with the request that prepare returns.
func (s *Server) ollamaAnswer(c *fiber.Ctx, j *job, req *openapi.OllamaRequest, form ollamaForm, prepare func(*Variant) (infer.Request, error)) error {
	if form.think && !s.options.Chat.Thinks() {
		return openapi.Invalid("think", openapi.CodeUnsupported, "the model does not support thinking")
	}
	if req.Load {
		if err := j.acquire(c, req.Model); err != nil {
			return err
		}
		line := newOllamaLine(j.variant.Name)
		line.done = openapi.OllamaLoad
		return writeJSON(c, form.line(line))
	}
	var prompt []infer.Token
	submit := func() (<-chan event, error) {
		request, err := prepare(j.variant)
		if err != nil {
			return nil, err
		}
		request.Logprobs, prompt = req.Logprobs, request.Prompt
		return j.run([]infer.Request{request}, 1, form.field)
	}
	newWriter := func(out *eventStream) *ollamaWriter {
		w := &ollamaWriter{outSink: outSink{out}, form: form, parser: s.options.Chat.Parser(&req.Turn, req.Stop), vocabulary: j.variant, prompt: prompt,
			model: j.variant.Name, started: j.started, loaded: time.Now(), logprobs: req.Logprobs >= 0}
		w.whole = newOllamaLine(w.model)
		return w
	}
	return respond(c, j, req.Model, req.Stream, submit, newWriter, func(w *ollamaWriter, usage openapi.Usage) any { return form.line(w.end(usage)) })
}

// ollamaWriter builds an answer and, in a stream, sends what is new of it line by line.
type ollamaWriter struct {
	outSink
	form       ollamaForm
	parser     *chat.Parser
	vocabulary Vocabulary
	prompt     []infer.Token
	model      string
	started    time.Time // when the request came
	loaded     time.Time // when it was submitted
	first      time.Time // when the first token came
	logprobs   bool

	whole  ollamaLine // all of the answer so far
	call   *openapi.OllamaToolCall
	input  strings.Builder // arguments of the open call
	calls  int
	tokens []openapi.TokenLogprob // for the next line of a stream
	reason infer.FinishReason
}

func (w *ollamaWriter) chunk(_ int, chunk infer.Chunk) error {
	if w.first.IsZero() {
		w.first = time.Now()
	}
	if w.logprobs {
		w.tokens = append(w.tokens, tokenLogprobs(chunk.Tokens)...)
	}
	for _, part := range partsOf(w.parser, chunk) {
		var err error
		switch {
		case part.Thinking != "":
			err = w.say(openapi.OllamaMessage{Thinking: part.Thinking})
		case part.Call < 0:
			err = w.say(openapi.OllamaMessage{Content: part.Text})
		case part.ID != "":
			err = w.endCall()
			w.call = &openapi.OllamaToolCall{ID: part.ID, Function: openapi.OllamaFunction{Index: w.calls, Name: part.Name}}
			w.calls++
		default:
			w.input.WriteString(part.Arguments)
		}
		if err != nil {
			return err
		}
	}
	if chunk.Finish == "" {
		return nil
	}
	w.reason = chunk.Finish
	return w.endCall()
}

// endCall sends the open call: clients want calls whole. One that was cut off is dropped, as half of its arguments is no JSON.
func (w *ollamaWriter) endCall() error {
	call, input := w.call, w.input.String()
	w.call = nil
	w.input.Reset()
	if call == nil || !json.Valid([]byte(input)) {
		return nil
	}
	call.Function.Arguments = json.RawMessage(input)
	return w.say(openapi.OllamaMessage{ToolCalls: []openapi.OllamaToolCall{*call}})
}

// say adds to the answer.
func (w *ollamaWriter) say(more openapi.OllamaMessage) error {
	message := &w.whole.message
	message.Content += more.Content
	message.Thinking += more.Thinking
	message.ToolCalls = append(message.ToolCalls, more.ToolCalls...)
	if w.out == nil {
		return nil
	}
	line := newOllamaLine(w.model)
	more.Role = line.message.Role
	line.message, line.logprobs, w.tokens = more, w.tokens, nil
	return w.out.line(w.form.line(line))
}

// end completes the answer.
func (w *ollamaWriter) end(usage openapi.Usage) ollamaLine {
	now := time.Now()
	line := w.whole
	line.created, line.logprobs = openapi.OllamaTime(now), w.tokens
	line.done = openapi.OllamaStop
	if w.reason == infer.FinishLength {
		line.done = openapi.OllamaLength
	}
	line.stats = openapi.OllamaStats{
		TotalDuration: now.Sub(w.started), LoadDuration: w.loaded.Sub(w.started),
		PromptEvalCount: usage.PromptTokens, PromptEvalDuration: w.first.Sub(w.loaded),
		EvalCount: usage.CompletionTokens, EvalDuration: now.Sub(w.first),
	}
	if w.form.remembers {
		line.context = w.remembered()
	}
	return line
}

// remembered is the conversation as tokens, the answer's made from its text.
func (w *ollamaWriter) remembered() []int {
	answer, err := w.vocabulary.Tokenize(w.whole.message.Content, false, false)
	if err != nil {
		return nil // only the memory is lost
	}
	out := make([]int, 0, len(w.prompt)+len(answer))
	for _, token := range slices.Concat(w.prompt, answer) {
		out = append(out, int(token))
	}
	return out
}

// finish sends the last line of a stream. What the answer says was sent before.
func (w *ollamaWriter) finish(usage openapi.Usage) error {
	line := w.end(usage)
	line.message = openapi.OllamaMessage{Role: line.message.Role}
	return w.out.line(w.form.line(line))
}
