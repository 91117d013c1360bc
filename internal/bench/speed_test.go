package bench

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"prunellm/infer"
)

// fakeEngine answers with chunks that arrive at the given times.
type fakeEngine struct {
	context int
	chunks  []fakeChunk
	asked   []infer.Request
}

type fakeChunk struct {
	after  time.Duration
	tokens int // of the answer so far
}

func (f *fakeEngine) ContextSize() int { return f.context }

func (f *fakeEngine) Tokenize(text string, _, _ bool) (tokens []infer.Token, err error) {
	for _, b := range []byte(text) {
		tokens = append(tokens, infer.Token(b))
	}
	return tokens, nil
}

func (f *fakeEngine) Submit(_ context.Context, request infer.Request) (infer.Generation, error) {
	f.asked = append(f.asked, request)
	return &fakeGeneration{rest: f.chunks}, nil
}

type fakeGeneration struct{ rest []fakeChunk }

func (g *fakeGeneration) Next(ctx context.Context) (chunk infer.Chunk, err error) {
	if len(g.rest) == 0 {
		return chunk, io.EOF
	}
	timer := time.NewTimer(g.rest[0].after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return chunk, ctx.Err()
	}
	chunk.Usage.Completion = g.rest[0].tokens
	if g.rest = g.rest[1:]; len(g.rest) == 0 {
		chunk.Finish = infer.FinishLength
	}
	return chunk, nil
}

func TestMeasureSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &fakeEngine{context: 100, chunks: []fakeChunk{{200 * time.Millisecond, 1}, {100 * time.Millisecond, 6}, {50 * time.Millisecond, 11}}}
		ttft, itl, prompt, err := MeasureSpeed(t.Context(), engine)
		if err != nil || ttft != 200*time.Millisecond || itl != 15*time.Millisecond || prompt != 50 {
			t.Errorf("MeasureSpeed = %v, %v, %d, %v, want 200ms, 15ms, 50 tokens", ttft, itl, prompt, err)
		}
		if len(engine.asked) != speedRounds {
			t.Fatalf("%d answers, want %d", len(engine.asked), speedRounds)
		}
		for _, r := range engine.asked {
			if len(r.Prompt) != 50 || r.MaxTokens != 25 || !r.IgnoreEOS {
				t.Errorf("asked %d tokens of a prompt of %d, want 25 of 50", r.MaxTokens, len(r.Prompt))
			}
		}
	})
}

func TestMeasureSpeedOfASlowModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &fakeEngine{context: 4096, chunks: []fakeChunk{{11 * time.Second, 1}, {time.Second, 2}}}
		if _, _, prompt, err := MeasureSpeed(t.Context(), engine); err != nil || len(engine.asked) != 1 || prompt != SpeedPrompt {
			t.Errorf("%d answers to prompts of %d tokens, %v, want 1 of %d", len(engine.asked), prompt, err, SpeedPrompt)
		}
	})
}

func TestMeasureSpeedOfABurst(t *testing.T) {
	engine := &fakeEngine{context: 100, chunks: []fakeChunk{{0, 25}}}
	if _, _, _, err := MeasureSpeed(t.Context(), engine); !errors.Is(err, ErrBurst) {
		t.Errorf("an answer in one chunk = %v, want ErrBurst", err)
	}
}
