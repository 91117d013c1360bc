package bench

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"prunellm/infer"
	"prunellm/internal/machine"
)

// fakeEngine answers with chunks that arrive at the given times.
type fakeEngine struct {
	context int
	chunks  []fakeChunk
	asked   []infer.Request
	asking  func() // if set, called before each answer
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
	if f.asking != nil {
		f.asking()
	}
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

func TestMeasureSpeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int
		engine := &fakeEngine{context: 100, chunks: []fakeChunk{{200 * time.Millisecond, 1}, {100 * time.Millisecond, 6}, {50 * time.Millisecond, 11}}}
		other := &fakeEngine{context: 1000, chunks: []fakeChunk{{300 * time.Millisecond, 1}, {70 * time.Millisecond, 8}}, asking: func() { order = append(order, 1) }}
		engine.asking = func() { order = append(order, 0) }
		speeds, err := MeasureSpeeds(t.Context(), []Engine{engine, other})
		if err != nil && !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		want := []Speed{{Spread{200 * time.Millisecond, 0}, Spread{15 * time.Millisecond, 0}, 50}, {Spread{300 * time.Millisecond, 0}, Spread{10 * time.Millisecond, 0}, 200}}
		if !slices.Equal(speeds, want) {
			t.Errorf("MeasureSpeeds = %+v, want %+v", speeds, want)
		}
		if want := []int{0, 1, 0, 1, 0, 1, 0, 1, 0, 1}; !slices.Equal(order, want) {
			t.Errorf("engines answered in the order %v, want them to alternate", order)
		}
		if len(engine.asked) != speedRounds {
			t.Fatalf("%d answers, want %d", len(engine.asked), speedRounds)
		}
		for _, r := range engine.asked {
			if len(r.Prompt) != 50 || r.MaxTokens != 25 || !r.IgnoreEOS {
				t.Errorf("requested %d tokens for a prompt of %d, want 25 for 50", r.MaxTokens, len(r.Prompt))
			}
		}
	})
}

func TestMeasureSpeedOfASlowModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &fakeEngine{context: 4096, chunks: []fakeChunk{{11 * time.Second, 1}, {time.Second, 2}}}
		speeds, err := MeasureSpeeds(t.Context(), []Engine{engine})
		if err != nil && !errors.Is(err, ErrBusy) || len(engine.asked) != 1 || speeds[0].PromptTokens != SpeedPrompt {
			t.Errorf("%d answers, %+v, %v, want 1 to a prompt of %d tokens", len(engine.asked), speeds, err, SpeedPrompt)
		}
	})
}

func TestMeasureSpeedOfABurst(t *testing.T) {
	engine := &fakeEngine{context: 100, chunks: []fakeChunk{{0, 25}}}
	if _, err := MeasureSpeeds(t.Context(), []Engine{engine}); !errors.Is(err, ErrBurst) {
		t.Errorf("an answer in one chunk = %v, want ErrBurst", err)
	}
}

func TestSpread(t *testing.T) {
	ms := time.Millisecond
	if got, want := newSpread([]time.Duration{30 * ms, 10 * ms, 20 * ms}), (Spread{20 * ms, 1}); got != want {
		t.Errorf("newSpread = %v, want %v", got, want)
	}
	var unknown machine.Times
	if err := checkIdle(unknown, unknown); err != nil {
		t.Errorf("with unknown processor times the machine counts as busy: %v", err)
	}
}
