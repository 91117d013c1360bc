package infer

import "context"

// request is one answer on its way: queued, then running on a sequence. The loop owns it from admission on.
type request struct {
	ctx    context.Context // of Submit: the answer's life
	req    Request
	stream *stream

	sequence int // -1 while queued
	decoded  int // tokens of the prompt in the cache
	next     Token
	usage    Usage
	sampler  *sampler
	text     *answerText
	entry    int // index in the batch whose logits are this request's; -1: none

	// Of the step at hand, between the loop and its samplers.
	logits  []float32
	sampled sampled
	failed  error
}

func newRequest(ctx context.Context, req Request) *request {
	return &request{
		ctx: ctx, req: req, stream: newStream(ctx),
		sequence: -1, entry: -1,
		usage:   Usage{Prompt: len(req.Prompt)},
		sampler: newSampler(req),
		text:    newAnswerText(req.Stop),
	}
}

func (r *request) want() want { return want{prompt: len(r.req.Prompt) - r.decoded} }
