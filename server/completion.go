package server

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/openapi"
)

// completion answers POST /v1/completions.
func (s *Server) completion(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeCompletion(c.Request().Body())
	if err != nil {
		return err
	}
	if err := j.acquire(req.Model); err != nil {
		return err
	}
	submit, echo, err := j.completionRequests(req)
	if err != nil {
		return err
	}
	events, err := j.run(c, submit, req.N)
	if err != nil {
		return promptField(err, "prompt")
	}
	texts := &textSink{head: s.newHead("cmpl-", j.variant), echo: echo, logprobs: req.Logprobs >= 0, usage: req.IncludeUsage}
	texts.offset = make([]int, len(submit))
	if req.Stream {
		j.stream(c, events, func(out eventStream) streamSink {
			texts.out = out
			return texts
		})
		return nil
	}
	answer := newTextAnswer(texts, len(submit))
	if err := j.consume(events, answer, nil); err != nil {
		return err
	}
	usage := j.tally.total()
	return writeJSON(c, texts.response(answer.choices(), &usage))
}

// completionRequests makes the engine's requests for all prompts, and the text that each choice begins with.
func (j *job) completionRequests(req *openapi.CompletionRequest) (submit []infer.Request, echo []string, err error) {
	for i, prompt := range req.Prompts {
		field := "prompt"
		if len(req.Prompts) > 1 {
			field = fmt.Sprintf("prompt[%d]", i)
		}
		var tokens []infer.Token
		if prompt.Tokens != nil {
			tokens, err = givenTokens(j.variant, field, prompt.Tokens)
		} else {
			tokens, err = tokenize(j.variant, field, prompt.Text)
		}
		if err != nil {
			return nil, nil, err
		}
		more, err := requests(j.variant, field, tokens, &req.Common, req.Logprobs)
		if err != nil {
			return nil, nil, err
		}
		submit = append(submit, more...)
		beginning := ""
		if req.Echo {
			beginning = prompt.Text
			if prompt.Tokens != nil {
				beginning = text(j.variant, tokens)
			}
		}
		for range req.N {
			echo = append(echo, beginning)
		}
	}
	return submit, echo, nil
}

// textSink writes the chunks of a streamed completion, and knows what one that is collected shares with it.
type textSink struct {
	head
	out      eventStream
	echo     []string // of each choice
	offset   []int    // of each choice: characters of text so far
	logprobs bool
	usage    bool
}

func (s *textSink) response(choices []openapi.CompletionChoice, usage *openapi.Usage) openapi.CompletionResponse {
	return openapi.CompletionResponse{
		ID: s.id, Object: "text_completion", Created: s.created, Model: s.model,
		Choices: choices, Usage: usage, SystemFingerprint: s.fingerprint,
	}
}

func (s *textSink) send(choice openapi.CompletionChoice) error {
	return s.out.data(s.response([]openapi.CompletionChoice{choice}, nil))
}

func (s *textSink) open(choice int) error {
	if s.echo[choice] == "" {
		return nil
	}
	s.offset[choice] = utf8.RuneCountInString(s.echo[choice])
	return s.send(openapi.CompletionChoice{Index: choice, Text: s.echo[choice]})
}

func (s *textSink) chunk(choice int, chunk infer.Chunk) error {
	out := openapi.CompletionChoice{Index: choice, Text: chunk.Text}
	if s.logprobs {
		out.Logprobs = newTextLogprobs()
		s.offset[choice] = appendText(out.Logprobs, chunk.Tokens, s.offset[choice])
	}
	if chunk.Finish != "" {
		reason := string(chunk.Finish)
		out.FinishReason = &reason
	} else if chunk.Text == "" && len(chunk.Tokens) == 0 {
		return nil
	}
	return s.send(out)
}

func (s *textSink) finish(usage openapi.Usage) error {
	if !s.usage {
		return nil
	}
	return s.out.data(s.response([]openapi.CompletionChoice{}, &usage))
}

// textAnswer collects the choices of a completion that is not streamed.
type textAnswer struct {
	sink     *textSink
	text     []strings.Builder
	logprobs []*openapi.TextLogprobs
	reason   []string
}

func newTextAnswer(sink *textSink, choices int) *textAnswer {
	a := &textAnswer{
		sink: sink, text: make([]strings.Builder, choices),
		logprobs: make([]*openapi.TextLogprobs, choices), reason: make([]string, choices),
	}
	return a
}

func (a *textAnswer) open(choice int) error {
	a.text[choice].WriteString(a.sink.echo[choice])
	a.sink.offset[choice] = utf8.RuneCountInString(a.sink.echo[choice])
	if a.sink.logprobs {
		a.logprobs[choice] = newTextLogprobs()
	}
	return nil
}

func (a *textAnswer) chunk(choice int, chunk infer.Chunk) error {
	a.text[choice].WriteString(chunk.Text)
	a.reason[choice] = string(chunk.Finish)
	if a.sink.logprobs {
		a.sink.offset[choice] = appendText(a.logprobs[choice], chunk.Tokens, a.sink.offset[choice])
	}
	return nil
}

func (a *textAnswer) choices() []openapi.CompletionChoice {
	out := make([]openapi.CompletionChoice, len(a.text))
	for i := range out {
		out[i] = openapi.CompletionChoice{Index: i, Text: a.text[i].String(), Logprobs: a.logprobs[i], FinishReason: &a.reason[i]}
	}
	return out
}
