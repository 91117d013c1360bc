package server

import (
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// response handles POST /v1/responses. A responseWriter builds the response, streamed or not.
func (s *Server) response(c *fiber.Ctx, j *job) error {
	req, keys, err := s.stored.decode(c, s.options.Sampling)
	if err != nil {
		return err
	}
	setSkipped(c, req.SkippedTools, req.SkippedItems)
	prepare := func() (<-chan event, error) {
		submit, err := s.turnRequest(j.variant, &req.Turn, &req.Common, "input")
		if err != nil {
			return nil, err
		}
		return j.run([]infer.Request{submit}, 1, "input")
	}
	newWriter := func(emit func(openapi.ResponseEvent) error) *responseWriter {
		w := newResponseWriter(j.variant.Name, req.Echo, s.options.Chat.Parser(&req.Turn, req.Stop), emit)
		w.response.PreviousResponseID, w.response.Store = req.PreviousID, req.Conversation != nil
		if req.Conversation != nil {
			w.keep = func() error { return keys.put(w.response, req.Conversation) }
		}
		return w
	}
	if req.Stream {
		return j.stream(c, req.Model, prepare, func(out eventStream) streamSink {
			writer := newWriter(func(e openapi.ResponseEvent) error { return out.named(e.Type, e) })
			writer.ping = out.ping
			return writer
		})
	}
	writer, err := whole(c, j, req.Model, prepare, func() *responseWriter { return newWriter(func(openapi.ResponseEvent) error { return nil }) })
	if err != nil {
		return err
	}
	if err := writer.finish(j.tally.total()); err != nil {
		return err
	}
	return writeJSON(c, writer.response)
}

// setSkipped sets headers that name what the server left out of a request.
func setSkipped(c *fiber.Ctx, tools, items []string) {
	for header, types := range map[string][]string{headerSkippedTools: tools, headerSkippedItems: items} {
		if len(types) > 0 {
			c.Set(header, strings.Join(types, ","))
		}
	}
}

// inputTokens handles POST /v1/responses/input_tokens: it counts the tokens of a response's prompt.
func (s *Server) inputTokens(c *fiber.Ctx, j *job) error {
	req, _, err := s.stored.decode(c, s.options.Sampling)
	if err != nil {
		return err
	}
	setSkipped(c, req.SkippedTools, req.SkippedItems)
	if err := j.acquire(c, req.Model); err != nil {
		return err
	}
	prompt, err := s.turnPrompt(j.variant, &req.Turn, "input")
	if err != nil {
		return promptField(err, "input")
	}
	return writeJSON(c, openapi.InputTokens{Object: "response.input_tokens", Tokens: len(prompt)})
}

// responseWriter builds a response item by item and emits each step as an event.
type responseWriter struct {
	response openapi.Response
	emit     func(openapi.ResponseEvent) error
	ping     func() error // only if streamed
	keep     func() error // stores the finished response; nil: it is not stored
	parser   *chat.Parser
	sequence int             // number of the next event
	text     strings.Builder // of the open item: a message's text or a call's arguments
	isOpen   bool            // the output's last item is still open
	err      error           // the first error of emit
	reason   infer.FinishReason
}

func newResponseWriter(model string, echo openapi.ResponseEcho, parser *chat.Parser, emit func(openapi.ResponseEvent) error) *responseWriter {
	return &responseWriter{
		response: openapi.Response{
			ID: newID("resp_"), Object: "response", CreatedAt: time.Now().Unix(), Status: "in_progress", Model: model,
			Output: []openapi.ResponseItem{}, Truncation: "disabled", ResponseEcho: echo,
		},
		emit: emit, parser: parser,
	}
}

func newID(prefix string) string { return prefix + strings.ReplaceAll(uuid.NewString(), "-", "") }

// send emits an event unless an earlier one failed.
func (w *responseWriter) send(kind string, fill func(*openapi.ResponseEvent)) {
	if w.err != nil {
		return
	}
	e := openapi.ResponseEvent{Type: kind, SequenceNumber: w.sequence}
	w.sequence++
	fill(&e)
	w.err = w.emit(e)
}

// whole sends an event that carries the current response.
func (w *responseWriter) whole(kind string) {
	w.send(kind, func(e *openapi.ResponseEvent) {
		copied := w.response
		e.Response = &copied
	})
}

// start announces the response at once. Prefill can take minutes, and some clients count pings as silence.
func (w *responseWriter) start() error {
	w.whole("response.created")
	return w.idle()
}

// idle repeats the announcement until the first text comes.
func (w *responseWriter) idle() error {
	if len(w.response.Output) > 0 {
		return w.ping()
	}
	w.whole("response.in_progress")
	return w.err
}

func (w *responseWriter) open(int) error { return nil }

func (w *responseWriter) chunk(_ int, chunk infer.Chunk) error {
	for _, part := range partsOf(w.parser, chunk) {
		switch {
		case part.Thinking != "":
			w.openText(reasoningItem)
			w.append(part.Thinking, "response.reasoning_text.delta")
		case part.Call >= 0 && part.ID != "":
			w.closeItem("completed")
			w.openItem(openapi.ResponseItem{
				ID: newID("fc_"), Type: "function_call", CallID: part.ID, Name: part.Name, Arguments: new(string),
			})
		case part.Call >= 0:
			w.append(part.Arguments, "response.function_call_arguments.delta")
		default:
			w.openText(messageItem)
			w.append(part.Text, "response.output_text.delta")
		}
	}
	w.reason = chunk.Finish
	return w.err
}

// index returns the index of the open item.
func (w *responseWriter) index() *int {
	i := len(w.response.Output) - 1
	return &i
}

// item returns the open item.
func (w *responseWriter) item() *openapi.ResponseItem {
	return &w.response.Output[len(w.response.Output)-1]
}

func (w *responseWriter) openItem(item openapi.ResponseItem) {
	item.Status = "in_progress"
	w.response.Output = append(w.response.Output, item)
	w.isOpen = true
	w.text.Reset()
	w.send("response.output_item.added", func(e *openapi.ResponseEvent) {
		e.OutputIndex, e.Item = w.index(), &item
	})
}

// Types of items that hold a text.
const (
	messageItem   = "message"
	reasoningItem = "reasoning"
)

// openText opens an item of a type for text, unless it is open.
func (w *responseWriter) openText(kind string) {
	if w.isOpen && w.item().Type == kind {
		return
	}
	w.closeItem("completed")
	item := openapi.ResponseItem{ID: newID("msg_"), Type: kind, Role: "assistant", Content: &[]openapi.ResponsePart{}}
	if kind == reasoningItem {
		item.ID, item.Role, item.Summary = newID("rs_"), "", &[]struct{}{}
	}
	w.openItem(item)
	w.send("response.content_part.added", func(e *openapi.ResponseEvent) {
		part := textPart(kind, "")
		w.place(e)
		e.Part = &part
	})
}

// textPart returns the part of an item that holds text.
func textPart(kind, text string) openapi.ResponsePart {
	if kind == reasoningItem {
		return openapi.ResponsePart{Type: "reasoning_text", Text: text}
	}
	return openapi.ResponsePart{Type: "output_text", Text: text, Annotations: &[]struct{}{}, Logprobs: &[]struct{}{}}
}

// holdsText reports whether the open item has a part with text.
func (w *responseWriter) holdsText() bool {
	return w.item().Type == messageItem || w.item().Type == reasoningItem
}

// place sets the item, and for text its part, that an event is about.
func (w *responseWriter) place(e *openapi.ResponseEvent) {
	e.OutputIndex, e.ItemID = w.index(), w.item().ID
	if w.holdsText() {
		e.ContentIndex = new(int)
	}
}

func (w *responseWriter) append(delta, kind string) {
	w.text.WriteString(delta)
	w.send(kind, func(e *openapi.ResponseEvent) {
		w.place(e)
		e.Delta = &delta
		if w.item().Type == messageItem {
			e.Logprobs = &[]struct{}{}
		}
	})
}

// closeItem finishes the open item, if any.
func (w *responseWriter) closeItem(status string) {
	if !w.isOpen {
		return
	}
	w.isOpen = false
	item, text := w.item(), w.text.String()
	item.Status = status
	if w.holdsText() {
		part := textPart(item.Type, text)
		item.Content = &[]openapi.ResponsePart{part}
		w.send("response."+part.Type+".done", func(e *openapi.ResponseEvent) {
			w.place(e)
			e.Text, e.Logprobs = &text, part.Logprobs
		})
		w.send("response.content_part.done", func(e *openapi.ResponseEvent) {
			w.place(e)
			e.Part = &part
		})
	} else {
		item.Arguments = &text
		w.send("response.function_call_arguments.done", func(e *openapi.ResponseEvent) {
			w.place(e)
			e.Name, e.Arguments = item.Name, &text
		})
	}
	w.send("response.output_item.done", func(e *openapi.ResponseEvent) {
		copied := *item
		e.OutputIndex, e.Item = w.index(), &copied
	})
}

func (w *responseWriter) finish(usage openapi.Usage) error {
	status := "completed"
	if w.reason == infer.FinishLength {
		status = "incomplete"
		w.response.Incomplete = &openapi.ResponseReason{Reason: "max_output_tokens"}
	}
	if len(w.response.Output) == 0 { // an empty answer still has an item
		w.openText(messageItem)
	}
	w.closeItem(status)
	w.response.Status = status
	w.response.Usage = responseUsage(usage)
	if w.keep != nil { // before a client can know that it is finished
		if err := w.keep(); err != nil {
			return err
		}
	}
	w.whole("response." + status)
	return w.err
}

func responseUsage(usage openapi.Usage) *openapi.ResponseUsage {
	return &openapi.ResponseUsage{
		InputTokens: usage.PromptTokens, InputTokensDetails: usage.PromptTokensDetails,
		OutputTokens: usage.CompletionTokens, OutputDetails: usage.CompletionTokensDetails, TotalTokens: usage.TotalTokens,
	}
}

func (w *responseWriter) fail(body *openapi.Error) error {
	code := openapi.CodeInternal
	if body.Code != nil {
		code = *body.Code
	}
	w.closeItem("incomplete")
	w.response.Status = "failed"
	w.response.Error = &openapi.ResponseError{Code: code, Message: body.Message}
	w.whole("response.failed")
	return w.err
}
