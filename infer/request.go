package infer

import (
	"context"
	"time"
)

// request is one answer in progress: queued, then running on a sequence. The loop owns it once admitted.
type request struct {
	ctx    context.Context // Submit's, which bounds the answer
	req    Request
	stream *stream
	came   time.Time // when it was queued

	sequence int // -1 while queued
	decoded  int // tokens of the prompt in the cache
	next     Token
	usage    Usage
	sampler  *sampler
	text     *answerText
	thought  *thought // nil: all is the answer
	drafter  *drafter // nil: no drafts
	draft    []Token  // in the batch behind next, not verified yet; the sequence's tokens do not include them
	entry    int      // index in the batch whose logits are this request's next; -1: none
	first    int      // index of its first entry in the batch
	granted  int      // entries in the batch

	pool   *pool         // of a request for an embedding; nil for an answer
	lead   *request      // request with the same prompt, whose cache this one copies; nil: prefill the prompt
	scores *promptScores // with PromptLogprobs, until the prompt is described
	over   bool          // it has ended, for any reason

	// Shared by the loop and its samplers during a step.
	logits  []float32
	sampled sampled
	failed  error

	thinking []byte // new in this step
}

func newRequest(ctx context.Context, req Request) *request {
	return &request{
		ctx: ctx, req: req, stream: newStream(ctx), came: time.Now(),
		sequence: -1, entry: -1,
		usage:   Usage{Prompt: len(req.Prompt)},
		sampler: newSampler(req),
		text:    newAnswerText(req.Stop),
	}
}

func (r *request) want() want {
	left := len(r.req.Prompt) - r.decoded
	if r.describesPrompt() {
		left = min(left, embedChunk)
	}
	return want{prompt: left}
}

// admissible reports whether the request can start now. A request that copies another's cache waits for that one's prefill.
func (r *request) admissible() bool {
	return r.lead == nil || r.lead.over || r.lead.decoded == len(r.lead.req.Prompt)
}

// reusable returns the part of the prompt that a cache can replace. It is empty for embeddings, which need the hidden state of
// every token, and for prompt log probabilities, which need their logits.
func (r *request) reusable() []Token {
	if r.describesPrompt() {
		return r.req.Prompt[:1]
	}
	return r.req.Prompt
}

// describesPrompt reports whether the request needs the model's output for every token of the prompt.
func (r *request) describesPrompt() bool { return r.pool != nil || r.req.PromptLogprobs }

// take adds a step's thinking and answer. It reports whether the answer ends at a stop string.
func (r *request) take(thinking []byte, answer []earlyToken) (stopped bool) {
	r.thinking = append(r.thinking, thinking...)
	for _, token := range answer {
		if r.text.add(token.piece, token.info) {
			return true
		}
	}
	return false
}

// endText releases text that was held back. full reports that the limit of tokens ended the answer.
func (r *request) endText(full bool) {
	if r.thought != nil && r.take(r.thought.finish(full)) {
		return
	}
	r.text.end()
}
