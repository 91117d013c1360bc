package server

import (
	"errors"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// chat handles POST /v1/chat/completions.
func (s *Server) chat(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeChat(c.Request().Body(), s.options.Sampling)
	if err != nil {
		return err
	}
	logprobs := -1
	if req.Logprobs {
		logprobs = req.TopLogprobs
	}
	prepare := func() (<-chan event, error) {
		submit, err := s.turnRequest(j.variant, &req.Turn, &req.Common, "messages")
		if err != nil {
			return nil, err
		}
		submit.Logprobs = logprobs
		if submit.Prediction, err = predictionTokens(j.variant, req.Prediction); err != nil {
			return nil, err
		}
		return j.run([]infer.Request{submit}, req.N, "messages")
	}
	parsers := s.newParsers(&req.Turn, req.Stop, req.N)
	if req.Stream {
		return j.stream(c, req.Model, prepare, func(out eventStream) streamSink {
			return &chatStream{
				head: s.newHead("chatcmpl-", j.variant), out: out, logprobs: req.Logprobs, usage: req.IncludeUsage,
				parsers: parsers, begun: make([]bool, req.N), tokens: make([][]openapi.TokenLogprob, req.N),
			}
		})
	}
	answer, err := whole(c, j, req.Model, prepare, func() *chatAnswer { return newChatAnswer(parsers, req.Logprobs) })
	if err != nil {
		return err
	}
	head := s.newHead("chatcmpl-", j.variant)
	return writeJSON(c, openapi.ChatResponse{
		ID: head.id, Object: "chat.completion", Created: head.created, Model: head.model,
		Choices: answer.choices(), Usage: j.tally.total(), SystemFingerprint: head.fingerprint,
	})
}

// turnRequest returns the engine's request for a turn. field is the endpoint's name for its messages.
func (s *Server) turnRequest(v *Variant, turn *openapi.Turn, common *openapi.Common, field string) (infer.Request, error) {
	prompt, err := s.turnPrompt(v, turn, field)
	if err != nil {
		return infer.Request{}, promptField(err, field)
	}
	return s.answerRequest(v, turn, common, field, prompt)
}

// answerRequest is turnRequest for a turn whose prompt is known.
func (s *Server) answerRequest(v *Variant, turn *openapi.Turn, common *openapi.Common, field string, prompt []infer.Token) (infer.Request, error) {
	request, err := request(v, field, prompt, common, false)
	if err == nil && request.Grammar == "" {
		request.Grammar, err = s.answerGrammar(v, turn)
	}
	request.Thinking = s.thinking(v, turn, prompt, request.Grammar != "")
	return request, err
}

// turnPrompt renders messages and tokenizes them. The prompt ends with the header of the assistant's turn, or with the last
// message's text if the answer continues it.
func (s *Server) turnPrompt(v Vocabulary, turn *openapi.Turn, field string) ([]infer.Token, error) {
	sizeBytes := 0
	for _, m := range turn.Messages {
		sizeBytes += len(m.Content) + len(m.Reasoning)
		for _, call := range m.ToolCalls {
			sizeBytes += len(call.Function.Arguments)
		}
	}
	if err := checkBytes(v, field, sizeBytes); err != nil {
		return nil, err
	}
	tools := turn.Tools
	if turn.ToolChoice.Mode == openapi.ToolsNone {
		tools = nil
	}
	template, err := s.template(turn.Thinking)
	if err != nil {
		return nil, err
	}
	rendered, err := template.Open(turn.Messages, tools, turn.Opening)
	if err != nil {
		return nil, err
	}
	return tokenize(v, field, s.options.Chat.Pieces(rendered)...)
}

// answerGrammar returns the GBNF that constrains the answer to a turn, or "" if nothing does. If a grammar cannot
// express the format or a tool, it returns an *openapi.Error that names the field.
func (s *Server) answerGrammar(g Grammars, turn *openapi.Turn) (string, error) {
	grammar, err := s.options.Chat.Grammar(turn, g.SchemaGrammar, turn.Format.Field)
	var schema *chat.SchemaError
	if errors.As(err, &schema) {
		return "", refusedBy(schema.Err, schema.Field, openapi.CodeInvalidSchema)
	}
	if err != nil || turn.ToolChoice.Mode == openapi.ToolsNone {
		return grammar, err
	}
	if err := g.CheckGrammar(grammar); err != nil {
		return "", refusedBy(err, "tools", openapi.CodeInvalidSchema)
	}
	return grammar, nil
}

// newParsers returns a parser for each answer to a turn.
func (s *Server) newParsers(turn *openapi.Turn, stops []string, n int) []*chat.Parser {
	parsers := make([]*chat.Parser, n)
	for i := range parsers {
		parsers[i] = s.options.Chat.Parser(turn, stops)
	}
	return parsers
}

// run submits n answers to each request. field names the prompt in errors.
func (j *job) run(submit []infer.Request, n int, field string) (<-chan event, error) {
	j.tally = newTally(j.started, len(submit)*n, n)
	j.tally.predicted = len(submit[0].Prediction) > 0
	events, err := j.start(submit, n)
	return events, promptField(err, field)
}

// head holds the fields that all events of a response share.
type head struct {
	id          string
	created     int64 // in seconds since 1970
	model       string
	fingerprint string
}

func (s *Server) newHead(prefix string, variant *Variant) head {
	return head{
		id:          prefix + strings.ReplaceAll(uuid.NewString(), "-", ""),
		created:     time.Now().Unix(),
		model:       variant.Name,
		fingerprint: s.fingerprint(variant),
	}
}

// partsOf splits a chunk into thinking, text and pieces of calls. The last chunk flushes the text that the parser holds back.
func partsOf(p *chat.Parser, chunk infer.Chunk) []chat.Part {
	out := append(p.Think(chunk.Thinking), p.Feed(chunk.Text)...)
	if chunk.Finish != "" {
		out = append(out, p.End(chunk.Finish == infer.FinishLength)...)
	}
	return out
}

// finishReason returns the reason in the words of OpenAI's API. A call that was cut off, even by a stop string, is not reported as
// "tool_calls". Clients parse the arguments after that, and they would not be valid JSON.
func finishReason(p *chat.Parser, reason infer.FinishReason) string {
	if p.Called() && reason == infer.FinishStop {
		return "tool_calls"
	}
	return string(reason)
}

// chatAnswer collects the choices of a chat that is not streamed.
type chatAnswer struct {
	parsers  []*chat.Parser
	text     []strings.Builder
	thinking []strings.Builder
	calls    [][]openapi.ToolCall
	tokens   [][]openapi.TokenLogprob
	finish   []string
	logprobs bool
}

func newChatAnswer(parsers []*chat.Parser, logprobs bool) *chatAnswer {
	n := len(parsers)
	return &chatAnswer{
		parsers: parsers, text: make([]strings.Builder, n), thinking: make([]strings.Builder, n), calls: make([][]openapi.ToolCall, n),
		tokens: make([][]openapi.TokenLogprob, n), finish: make([]string, n), logprobs: logprobs,
	}
}

func (a *chatAnswer) open(int) error { return nil }

func (a *chatAnswer) chunk(choice int, chunk infer.Chunk) error {
	for _, part := range partsOf(a.parsers[choice], chunk) {
		switch {
		case part.Call < 0:
			a.text[choice].WriteString(part.Text)
			a.thinking[choice].WriteString(part.Thinking)
		case part.ID != "":
			call := openapi.ToolCall{ID: part.ID, Type: "function", Function: openapi.FunctionCall{Name: part.Name}}
			a.calls[choice] = append(a.calls[choice], call)
		default:
			a.calls[choice][part.Call].Function.Arguments += part.Arguments
		}
	}
	a.finish[choice] = finishReason(a.parsers[choice], chunk.Finish)
	if a.logprobs {
		a.tokens[choice] = append(a.tokens[choice], tokenLogprobs(chunk.Tokens)...)
	}
	return nil
}

func (a *chatAnswer) choices() []openapi.ChatChoice {
	out := make([]openapi.ChatChoice, len(a.text))
	for i := range out {
		message := openapi.ChatMessage{Role: "assistant", ToolCalls: a.calls[i], Reasoning: openapi.NewReasoning(a.thinking[i].String())}
		if text := a.text[i].String(); text != "" || len(a.calls[i]) == 0 {
			message.Content = &text
		}
		out[i] = openapi.ChatChoice{Index: i, Message: message, FinishReason: a.finish[i]}
		if a.logprobs {
			out[i].Logprobs = &openapi.ChatLogprobs{Content: append([]openapi.TokenLogprob{}, a.tokens[i]...)}
		}
	}
	return out
}

// chatStream writes the chunks of a streamed chat.
type chatStream struct {
	head
	out      eventStream
	parsers  []*chat.Parser
	begun    []bool                   // per choice: the delta with the role was sent
	tokens   [][]openapi.TokenLogprob // per choice: tokens for the next delta
	logprobs bool
	usage    bool
}

// send writes a chunk. Only the last chunk has usage.
func (s *chatStream) send(choices []openapi.ChatChunkChoice, usage *openapi.Usage) error {
	return s.out.data(openapi.ChatChunk{
		ID: s.id, Object: "chat.completion.chunk", Created: s.created, Model: s.model,
		Choices: choices, Usage: eventUsage(s.usage, usage), SystemFingerprint: s.fingerprint,
	})
}

// eventUsage returns the usage field of a stream's event: absent unless the client asked, null until it is known.
func eventUsage(asked bool, usage *openapi.Usage) **openapi.Usage {
	switch {
	case !asked:
		return nil
	case usage == nil:
		return openapi.NoUsageYet()
	}
	return &usage
}

func (s *chatStream) start() error { return nil }

func (s *chatStream) idle() error { return s.out.ping() }

// open begins a choice that is known to be text. For any other choice, the first part decides.
func (s *chatStream) open(choice int) error {
	if !s.parsers[choice].Plain() {
		return nil
	}
	return s.begin(choice, true)
}

// begin sends the delta with the role, once.
func (s *chatStream) begin(choice int, text bool) error {
	if s.begun[choice] {
		return nil
	}
	s.begun[choice] = true
	content := new(*string)
	if text {
		*content = new(string)
	}
	return s.delta(choice, openapi.ChatDelta{Role: "assistant", Content: content})
}

func (s *chatStream) delta(choice int, delta openapi.ChatDelta) error {
	out := openapi.ChatChunkChoice{Index: choice, Delta: delta}
	if delta.Role == "" && s.logprobs && len(s.tokens[choice]) > 0 {
		out.Logprobs = &openapi.ChatLogprobs{Content: s.tokens[choice]}
		s.tokens[choice] = nil
	}
	return s.send([]openapi.ChatChunkChoice{out}, nil)
}

func (s *chatStream) chunk(choice int, chunk infer.Chunk) error {
	parser := s.parsers[choice]
	if s.logprobs {
		s.tokens[choice] = append(s.tokens[choice], tokenLogprobs(chunk.Tokens)...)
	}
	for _, part := range partsOf(parser, chunk) {
		if err := s.begin(choice, part.Call < 0 && part.Thinking == ""); err != nil {
			return err
		}
		if err := s.delta(choice, chatDelta(part)); err != nil {
			return err
		}
	}
	if chunk.Finish == "" {
		return nil
	}
	if err := s.begin(choice, true); err != nil { // an empty answer is text
		return err
	}
	if s.logprobs && len(s.tokens[choice]) > 0 { // text that the parser held back may follow
		if err := s.delta(choice, openapi.ChatDelta{}); err != nil {
			return err
		}
	}
	reason := finishReason(parser, chunk.Finish)
	return s.send([]openapi.ChatChunkChoice{{Index: choice, FinishReason: &reason}}, nil)
}

func chatDelta(p chat.Part) openapi.ChatDelta {
	if p.Thinking != "" {
		return openapi.ChatDelta{Reasoning: openapi.NewReasoning(p.Thinking)}
	}
	if p.Call < 0 {
		text := &p.Text
		return openapi.ChatDelta{Content: &text}
	}
	call := openapi.ToolCallDelta{Index: p.Call, ID: p.ID, Function: openapi.FunctionDelta{Name: p.Name, Arguments: p.Arguments}}
	if p.ID != "" {
		call.Type = "function"
	}
	return openapi.ChatDelta{ToolCalls: []openapi.ToolCallDelta{call}}
}

func (s *chatStream) finish(usage openapi.Usage) error {
	if s.usage {
		if err := s.send([]openapi.ChatChunkChoice{}, &usage); err != nil {
			return err
		}
	}
	return s.out.done()
}

func (s *chatStream) fail(body *openapi.Error) error { return s.out.failed(body) }
