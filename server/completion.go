package server

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// completion handles POST /v1/completions.
func (s *Server) completion(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeCompletion(c.Request().Body(), s.options.Sampling)
	if err != nil {
		return err
	}
	var echo []string
	prepare := func() (events <-chan event, err error) {
		var submit []infer.Request
		if submit, echo, err = s.completionRequests(j.variant, req); err != nil {
			return nil, err
		}
		return j.run(submit, req.N, "prompt")
	}
	if req.Stream {
		return j.stream(c, req.Model, prepare, func(out eventStream) streamSink {
			texts := newTextSink(s.newHead("cmpl-", j.variant), req, echo)
			texts.out = out
			return texts
		})
	}
	var texts *textSink
	answer, err := whole(c, j, req.Model, prepare, func() *textAnswer {
		texts = newTextSink(s.newHead("cmpl-", j.variant), req, echo)
		return newTextAnswer(texts)
	})
	if err != nil {
		return err
	}
	usage := j.tally.total()
	response := texts.response(answer.choices())
	response.Usage = &usage
	return writeJSON(c, response)
}

// completionRequests returns the engine's request for each prompt, and the text that each choice echoes.
func (s *Server) completionRequests(v *Variant, req *openapi.CompletionRequest) (submit []infer.Request, echo []string, err error) {
	for i, prompt := range req.Prompts {
		field := "prompt"
		if len(req.Prompts) > 1 {
			field = fmt.Sprintf("prompt[%d]", i)
		}
		tokens, err := s.completionPrompt(v, field, prompt, req.Suffix)
		if err != nil {
			return nil, nil, err
		}
		one, err := request(v, field, tokens, &req.Common, req.NoAnswer)
		if err != nil {
			return nil, nil, err
		}
		one.Logprobs = req.Logprobs
		one.PromptLogprobs = req.Echo && (req.Logprobs >= 0 || req.NoAnswer)
		if req.NoAnswer {
			one.MaxTokens, one.Logprobs = 0, max(0, one.Logprobs)
		}
		submit = append(submit, one)
		beginning := ""
		if req.Echo {
			beginning = prompt.Text
			if prompt.Tokens != nil {
				beginning = text(v, tokens)
			}
		}
		for range req.N {
			echo = append(echo, beginning)
		}
	}
	return submit, echo, nil
}

// completionPrompt returns the tokens of a prompt, and of a suffix behind the gap that the answer fills.
func (s *Server) completionPrompt(v Vocabulary, field string, prompt openapi.Prompt, suffix string) ([]infer.Token, error) {
	if suffix != "" {
		return s.betweenPrompt(v, field, prompt.Text, suffix)
	}
	return promptTokens(v, field, prompt)
}

// promptTokens returns the tokens of a prompt in either form.
func promptTokens(v Vocabulary, field string, prompt openapi.Prompt) ([]infer.Token, error) {
	if prompt.Tokens != nil {
		return givenTokens(v, field, prompt.Tokens)
	}
	return tokenize(v, field, chat.Piece{Text: prompt.Text, Special: true})
}

// textSink writes the chunks of a streamed completion. textAnswer embeds it for what both share.
type textSink struct {
	head
	out      eventStream
	echo     []string // per choice: prompt text still to be echoed
	offset   []int    // per choice: characters sent so far
	logprobs bool
	usage    bool
}

func newTextSink(head head, req *openapi.CompletionRequest, echo []string) *textSink {
	return &textSink{
		head: head, echo: echo, offset: make([]int, len(echo)), logprobs: req.Logprobs >= 0, usage: req.IncludeUsage,
	}
}

func (s *textSink) response(choices []openapi.CompletionChoice) openapi.CompletionResponse {
	return openapi.CompletionResponse{
		ID: s.id, Object: "text_completion", Created: s.created, Model: s.model,
		Choices: choices, SystemFingerprint: s.fingerprint,
	}
}

// send writes an event. Only the last event has usage.
func (s *textSink) send(choices []openapi.CompletionChoice, usage *openapi.Usage) error {
	return s.out.data(openapi.CompletionChunk{CompletionResponse: s.response(choices), Usage: eventUsage(s.usage, usage)})
}

func (s *textSink) start() error { return nil }

func (s *textSink) idle() error { return s.out.ping() }

func (s *textSink) open(int) error { return nil }

// take returns the text of a chunk, after the echo if it was not sent yet, and appends its tokens to into.
func (s *textSink) take(choice int, chunk infer.Chunk, into *openapi.TextLogprobs) string {
	text := s.echo[choice] + chunk.Text
	if into != nil {
		if s.echo[choice] != "" || len(chunk.Prompt) > 0 {
			appendText(into, chunk.Prompt, 0)
			s.offset[choice] = utf8.RuneCountInString(s.echo[choice])
		}
		s.offset[choice] = appendText(into, chunk.Tokens, s.offset[choice])
	}
	s.echo[choice] = ""
	return text
}

func (s *textSink) chunk(choice int, chunk infer.Chunk) error {
	out := openapi.CompletionChoice{Index: choice}
	if s.logprobs {
		out.Logprobs = newTextLogprobs()
	}
	out.Text = s.take(choice, chunk, out.Logprobs)
	if chunk.Finish != "" {
		reason := string(chunk.Finish)
		out.FinishReason = &reason
	} else if out.Text == "" && len(chunk.Tokens) == 0 {
		return nil
	}
	return s.send([]openapi.CompletionChoice{out}, nil)
}

func (s *textSink) finish(usage openapi.Usage) error {
	if s.usage {
		if err := s.send([]openapi.CompletionChoice{}, &usage); err != nil {
			return err
		}
	}
	return s.out.done()
}

func (s *textSink) fail(body *openapi.Error) error { return s.out.failed(body) }

// textAnswer collects the choices of a completion that is not streamed.
type textAnswer struct {
	sink     *textSink
	text     []strings.Builder
	logprobs []*openapi.TextLogprobs
	reason   []string
}

func newTextAnswer(sink *textSink) *textAnswer {
	choices := len(sink.echo)
	return &textAnswer{
		sink: sink, text: make([]strings.Builder, choices),
		logprobs: make([]*openapi.TextLogprobs, choices), reason: make([]string, choices),
	}
}

func (a *textAnswer) open(choice int) error {
	if a.sink.logprobs {
		a.logprobs[choice] = newTextLogprobs()
	}
	return nil
}

func (a *textAnswer) chunk(choice int, chunk infer.Chunk) error {
	a.text[choice].WriteString(a.sink.take(choice, chunk, a.logprobs[choice]))
	a.reason[choice] = string(chunk.Finish)
	return nil
}

func (a *textAnswer) choices() []openapi.CompletionChoice {
	out := make([]openapi.CompletionChoice, len(a.text))
	for i := range out {
		out[i] = openapi.CompletionChoice{Index: i, Text: a.text[i].String(), Logprobs: a.logprobs[i], FinishReason: &a.reason[i]}
	}
	return out
}
