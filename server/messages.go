package server

import (
	"encoding/json"
	"strings"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// messages handles POST /v1/messages. A messageWriter builds the message, streamed or not.
func (s *Server) messages(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeMessages(c.Request().Body(), s.options.Sampling)
	if err != nil {
		return err
	}
	setSkipped(c, req.SkippedTools, req.SkippedItems)
	promptTokens := 0
	prepare := func() (<-chan event, error) {
		submit, err := s.turnRequest(j.variant, &req.Turn, &req.Common, "messages")
		if err != nil {
			return nil, err
		}
		promptTokens = len(submit.Prompt)
		return j.run([]infer.Request{submit}, 1, "messages")
	}
	newWriter := func(emit func(openapi.MessagesEvent) error) *messageWriter {
		w := newMessageWriter(j.variant.Name, s.options.Chat.Parser(&req.Turn, req.Stop), emit)
		w.maxTokens, w.response.Usage.InputTokens = req.MaxTokens, promptTokens
		return w
	}
	if req.Stream {
		return j.stream(c, req.Model, prepare, func(out eventStream) streamSink {
			writer := newWriter(func(e openapi.MessagesEvent) error { return out.named(e.Type, e) })
			writer.out = out
			return writer
		})
	}
	writer, err := whole(c, j, req.Model, prepare, func() *messageWriter { return newWriter(func(openapi.MessagesEvent) error { return nil }) })
	if err != nil {
		return err
	}
	if err := writer.finish(j.tally.total()); err != nil {
		return err
	}
	return writeJSON(c, writer.response)
}

// countTokens handles POST /v1/messages/count_tokens: it counts the tokens of a message's prompt.
func (s *Server) countTokens(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeCountTokens(c.Request().Body())
	if err != nil {
		return err
	}
	setSkipped(c, req.SkippedTools, req.SkippedItems)
	if err := j.acquire(c, req.Model); err != nil {
		return err
	}
	prompt, err := s.turnPrompt(j.variant, &req.Turn, "messages")
	if err != nil {
		return err
	}
	return writeJSON(c, openapi.MessagesTokens{InputTokens: len(prompt)})
}

// messageWriter builds a message block by block and emits each step as an event.
type messageWriter struct {
	response  openapi.MessagesResponse
	emit      func(openapi.MessagesEvent) error
	out       eventStream // only if streamed
	parser    *chat.Parser
	maxTokens int
	text      strings.Builder // of the open block: a text or the JSON of a call's input
	isOpen    bool            // the content's last block is still open
	err       error           // the first error of emit
	last      infer.Chunk
	pings     int
}

func newMessageWriter(model string, parser *chat.Parser, emit func(openapi.MessagesEvent) error) *messageWriter {
	return &messageWriter{
		response: openapi.MessagesResponse{
			ID: newID("msg_"), Type: "message", Role: "assistant", Model: model, Content: []openapi.MessagesBlock{},
		},
		emit: emit, parser: parser,
	}
}

// send emits an event unless an earlier one failed.
func (w *messageWriter) send(e openapi.MessagesEvent) {
	if w.err == nil {
		w.err = w.emit(e)
	}
}

// start begins the message at once, because prefill can take minutes. The usage does not yet say how much of the prompt the
// prompt cache has.
func (w *messageWriter) start() error {
	begun := w.response
	w.send(openapi.MessagesEvent{Type: "message_start", Message: &begun})
	if w.err != nil {
		return w.err
	}
	return w.idle()
}

// pingsPerUpdate is the number of consecutive pings after which idle sends the usage again.
const pingsPerUpdate = 60

// idle sends a ping. Anthropic's clients do not count pings as events, and Claude Code disconnects after five minutes without
// another event. Every client accepts a message_delta that changes nothing, so idle sends one after every pingsPerUpdate
// pings until the first block.
func (w *messageWriter) idle() error {
	if w.pings++; w.pings%pingsPerUpdate == 0 && len(w.response.Content) == 0 {
		w.update()
	}
	if w.err != nil {
		return w.err
	}
	return w.out.ping()
}

// update sends the message's stop reason and usage so far.
func (w *messageWriter) update() {
	w.send(openapi.MessagesEvent{
		Type:  "message_delta",
		Delta: openapi.MessagesStopDelta{StopReason: w.response.StopReason, StopSequence: w.response.StopSequence},
		Usage: &w.response.Usage,
	})
}

func (w *messageWriter) open(int) error { return nil }

// chunk adds the parts that the parser finds in a chunk. Each kind of part has its own kind of block.
func (w *messageWriter) chunk(_ int, chunk infer.Chunk) error {
	for _, part := range partsOf(w.parser, chunk) {
		switch {
		case part.Thinking != "":
			w.openText(openapi.BlockThinking)
			w.append(part.Thinking, openapi.MessagesBlockDelta{Type: "thinking_delta", Thinking: &part.Thinking})
		case part.Call >= 0 && part.ID != "":
			w.openBlock(openapi.MessagesBlock{
				Type: openapi.BlockToolUse, ID: "toolu_" + strings.TrimPrefix(part.ID, "call_"), Name: part.Name, Input: json.RawMessage("{}"),
			})
		case part.Call >= 0:
			w.append(part.Arguments, openapi.MessagesBlockDelta{Type: "input_json_delta", PartialJSON: &part.Arguments})
		default:
			w.openText(openapi.BlockText)
			w.append(part.Text, openapi.MessagesBlockDelta{Type: "text_delta", Text: &part.Text})
		}
	}
	w.last = chunk
	return w.err
}

// index returns the index of the open block.
func (w *messageWriter) index() *int {
	i := len(w.response.Content) - 1
	return &i
}

// block returns the open block.
func (w *messageWriter) block() *openapi.MessagesBlock { return &w.response.Content[*w.index()] }

func (w *messageWriter) openBlock(block openapi.MessagesBlock) {
	w.closeBlock()
	w.response.Content = append(w.response.Content, block)
	w.isOpen = true
	w.send(openapi.MessagesEvent{Type: "content_block_start", Index: w.index(), Block: &block})
}

// openText opens a block of a type for text, unless it is open.
func (w *messageWriter) openText(kind string) {
	block := openapi.MessagesBlock{Type: kind}
	switch {
	case w.isOpen && w.block().Type == kind:
		return
	case kind == openapi.BlockThinking:
		block.Thinking, block.Signature = new(string), new(string)
	default:
		block.Text = new(string)
	}
	w.openBlock(block)
}

func (w *messageWriter) append(text string, delta openapi.MessagesBlockDelta) {
	w.text.WriteString(text)
	w.send(openapi.MessagesEvent{Type: "content_block_delta", Index: w.index(), Delta: delta})
}

// closeBlock finishes the open block, if any. The signature of thinking is the message's id. A call that was cut off has an
// empty object as input, because the part that was generated is not valid JSON.
func (w *messageWriter) closeBlock() {
	if !w.isOpen {
		return
	}
	w.isOpen = false
	text := w.text.String()
	w.text.Reset()
	switch block := w.block(); {
	case block.Type == openapi.BlockText:
		block.Text = &text
	case block.Type == openapi.BlockThinking:
		block.Thinking, block.Signature = &text, &w.response.ID
		w.append("", openapi.MessagesBlockDelta{Type: "signature_delta", Signature: block.Signature})
	case json.Valid([]byte(text)):
		block.Input = json.RawMessage(text)
	}
	w.send(openapi.MessagesEvent{Type: "content_block_stop", Index: w.index()})
}

func (w *messageWriter) finish(usage openapi.Usage) error {
	w.closeBlock()
	w.stop()
	cached := usage.PromptTokensDetails.CachedTokens
	w.response.Usage = openapi.MessagesUsage{InputTokens: usage.PromptTokens - cached, CacheReadTokens: cached, OutputTokens: usage.CompletionTokens}
	w.response.Usage.OutputDetails.ThinkingTokens = usage.CompletionTokensDetails.ReasoningTokens
	w.update()
	w.send(openapi.MessagesEvent{Type: "message_stop"})
	return w.err
}

// stop sets the reason why the answer ended.
func (w *messageWriter) stop() {
	reason := openapi.StopEndTurn
	switch {
	case w.last.Finish == infer.FinishLength && w.last.Usage.Completion < w.maxTokens:
		reason = openapi.StopContextWindow
	case w.last.Finish == infer.FinishLength:
		reason = openapi.StopMaxTokens
	case w.parser.Called():
		reason = openapi.StopToolUse
	case w.last.Stop != "":
		reason = openapi.StopSequence
		w.response.StopSequence = &w.last.Stop
	}
	w.response.StopReason = &reason
}

func (w *messageWriter) fail(body *openapi.Error) error { return w.out.failed(body) }
