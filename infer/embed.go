package infer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// embedChunk bounds the tokens of a prompt whose hidden states one step returns. llama.cpp also computes the logits of
// each of them, and its output buffer never shrinks (64 x 49 k logits take 12 MiB).
const embedChunk = 64

// pool averages the hidden states of one prompt.
type pool struct {
	sum    []float64 // float64[hidden]
	vector []float32 // the result; written before the stream's end, read after it
}

func newPool(size int) *pool { return &pool{sum: make([]float64, size)} }

func (p *pool) add(hidden []float32) {
	for i, x := range hidden {
		p.sum[i] += float64(x)
	}
}

// finish scales the vector to length 1. The number of tokens cancels out.
func (p *pool) finish() error {
	square := 0.0
	for _, x := range p.sum {
		square += x * x
	}
	if !(square > 0) || math.IsInf(square, 0) {
		return errors.New("the model computed NaN or infinite hidden states")
	}
	p.vector = make([]float32, len(p.sum))
	for i, x := range p.sum {
		p.vector[i] = float32(x / math.Sqrt(square))
	}
	return nil
}

// Embed returns one vector for each prompt, float32[hidden] of length 1: the mean of the hidden states of its tokens,
// after the model's last norm. These prompts share batches with those of answers. Errors: ParameterError or ContextError for
// a prompt out of range, ErrQueueFull, or an error that wraps ErrEngine.
func (e *Engine) Embed(ctx context.Context, prompts [][]Token) ([][]float32, Usage, error) {
	for i, p := range prompts {
		if err := e.validatePrompt(p, 0); err != nil {
			return nil, Usage{}, fmt.Errorf("input %d: %w", i, err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the prompts that still run when one fails
	vectors := make([][]float32, 0, len(prompts))
	var usage Usage
	var flying []*request // submitted but not yet collected, in order
	for next := 0; len(vectors) < len(prompts); {
		for next < len(prompts) && len(flying) < e.dec.Sequences() {
			r := newRequest(ctx, Request{Prompt: prompts[next], MaxTokens: 1, Logprobs: -1})
			r.pool = newPool(e.dec.HiddenSize())
			err := e.enqueue([]*request{r})
			if errors.Is(err, ErrQueueFull) && len(flying) > 0 {
				break // requests of this call fill the queue: continue when one has ended
			}
			if err != nil {
				return nil, Usage{}, err
			}
			flying = append(flying, r)
			next++
		}
		r := flying[0]
		flying = flying[1:]
		used, err := drain(ctx, r.stream)
		if err != nil {
			return nil, Usage{}, err
		}
		usage.Prompt += used.Prompt
		vectors = append(vectors, r.pool.vector)
	}
	return vectors, usage, nil
}

// drain waits for the end of an answer.
func drain(ctx context.Context, s *stream) (Usage, error) {
	var usage Usage
	for {
		chunk, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return usage, nil
		}
		if err != nil {
			return usage, err
		}
		usage = chunk.Usage
	}
}

// collect adds the hidden states of a step to a request's pool, and ends the request with its prompt.
func (l *loop) collect(r *request) {
	for i := r.first; i < r.first+r.granted; i++ {
		r.pool.add(l.dec.Hidden(i))
	}
	if r.decoded < len(r.req.Prompt) {
		return
	}
	if err := r.pool.finish(); err != nil {
		r.stream.fail(fmt.Errorf("%w: %w", ErrEngine, err))
	} else {
		r.stream.put(nil, nil, r.usage, FinishStop)
	}
	l.release(r)
}
