package server

import (
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"prunellm/infer"
	"prunellm/openapi"
)

// chat answers POST /v1/chat/completions.
func (s *Server) chat(c *fiber.Ctx, j *job) error {
	req, err := openapi.DecodeChat(c.Request().Body())
	if err != nil {
		return err
	}
	if err := j.acquire(req.Model); err != nil {
		return err
	}
	prompt, err := chatPrompt(j.variant, req.Messages)
	if err != nil {
		return err
	}
	logprobs := -1
	if req.Logprobs {
		logprobs = req.TopLogprobs
	}
	submit, err := requests(j.variant, "messages", prompt, &req.Common, logprobs)
	if err != nil {
		return err
	}
	events, err := j.run(c, submit, req.N)
	if err != nil {
		return promptField(err, "messages")
	}
	head := s.newHead("chatcmpl-", j.variant)
	if req.Stream {
		j.stream(c, events, func(out eventStream) streamSink {
			return &chatStream{head: head, out: out, logprobs: req.Logprobs, usage: req.IncludeUsage}
		})
		return nil
	}
	answer := newChatAnswer(req.N, req.Logprobs)
	if err := j.consume(events, answer, nil); err != nil {
		return err
	}
	return writeJSON(c, openapi.ChatResponse{
		ID: head.id, Object: "chat.completion", Created: head.created, Model: head.model,
		Choices: answer.choices(), Usage: j.tally.total(), SystemFingerprint: head.fingerprint,
	})
}

// chatPrompt turns messages into the tokens of a prompt that ends with the beginning of the model's turn.
func chatPrompt(v Variant, messages []openapi.Message) ([]infer.Token, error) {
	sizeBytes := 0
	for _, m := range messages {
		sizeBytes += len(m.Content)
	}
	if err := checkBytes(v, "messages", sizeBytes); err != nil {
		return nil, err
	}
	rendered, err := v.RenderChat(messages, true)
	if err != nil {
		return nil, err
	}
	return tokenize(v, "messages", rendered)
}

// run names the variant in the response's header and submits the requests.
func (j *job) run(c *fiber.Ctx, submit []infer.Request, n int) (<-chan event, error) {
	c.Set(headerVariant, j.variant.Name())
	j.tally = newTally(j.started, len(submit), n)
	return j.start(submit)
}

// head is what all events of a response have in common.
type head struct {
	id          string
	created     int64 // seconds since 1970
	model       string
	fingerprint string
}

func (s *Server) newHead(prefix string, v Variant) head {
	return head{
		id:          prefix + strings.ReplaceAll(uuid.NewString(), "-", ""),
		created:     time.Now().Unix(),
		model:       v.Name(),
		fingerprint: s.fingerprint(v.Name()),
	}
}

// chatAnswer collects the choices of a chat that is not streamed.
type chatAnswer struct {
	text     []strings.Builder
	tokens   [][]openapi.TokenLogprob
	finish   []infer.FinishReason
	logprobs bool
}

func newChatAnswer(n int, logprobs bool) *chatAnswer {
	return &chatAnswer{
		text: make([]strings.Builder, n), tokens: make([][]openapi.TokenLogprob, n),
		finish: make([]infer.FinishReason, n), logprobs: logprobs,
	}
}

func (a *chatAnswer) open(int) error { return nil }

func (a *chatAnswer) chunk(choice int, chunk infer.Chunk) error {
	a.text[choice].WriteString(chunk.Text)
	a.finish[choice] = chunk.Finish
	if a.logprobs {
		a.tokens[choice] = append(a.tokens[choice], tokenLogprobs(chunk.Tokens)...)
	}
	return nil
}

func (a *chatAnswer) choices() []openapi.ChatChoice {
	out := make([]openapi.ChatChoice, len(a.text))
	for i := range out {
		out[i] = openapi.ChatChoice{
			Index:        i,
			Message:      openapi.ChatMessage{Role: "assistant", Content: a.text[i].String()},
			FinishReason: string(a.finish[i]),
		}
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
	logprobs bool
	usage    bool
}

func (s *chatStream) send(choices []openapi.ChatChunkChoice, usage *openapi.Usage) error {
	return s.out.data(openapi.ChatChunk{
		ID: s.id, Object: "chat.completion.chunk", Created: s.created, Model: s.model,
		Choices: choices, Usage: usage, SystemFingerprint: s.fingerprint,
	})
}

func (s *chatStream) open(choice int) error {
	empty := ""
	delta := openapi.ChatDelta{Role: "assistant", Content: &empty}
	return s.send([]openapi.ChatChunkChoice{{Index: choice, Delta: delta}}, nil)
}

func (s *chatStream) chunk(choice int, chunk infer.Chunk) error {
	if chunk.Text != "" || (s.logprobs && len(chunk.Tokens) > 0) {
		out := openapi.ChatChunkChoice{Index: choice, Delta: openapi.ChatDelta{Content: &chunk.Text}}
		if s.logprobs {
			out.Logprobs = &openapi.ChatLogprobs{Content: tokenLogprobs(chunk.Tokens)}
		}
		if err := s.send([]openapi.ChatChunkChoice{out}, nil); err != nil {
			return err
		}
	}
	if chunk.Finish == "" {
		return nil
	}
	reason := string(chunk.Finish)
	return s.send([]openapi.ChatChunkChoice{{Index: choice, FinishReason: &reason}}, nil)
}

func (s *chatStream) finish(usage openapi.Usage) error {
	if !s.usage {
		return nil
	}
	return s.send([]openapi.ChatChunkChoice{}, &usage)
}
