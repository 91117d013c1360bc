package catalog

import (
	"context"
	"slices"
	"time"

	"prunellm/infer"
	"prunellm/internal/variant"
	"prunellm/server"
)

// A speed is measured again when requests see a different one.
const (
	seenAnswers   = 8   // number of answers whose median counts
	seenTokens    = 16  // shortest answer that counts
	seenPrompt    = 4   // longest prompt that counts, as a multiple of the measured one: in a long context tokens take longer
	disagreement  = 1.5 // factor between the seen speed and the card's, either way
	maxRemeasured = 3   // measurements per engine
)

// disagrees reports whether the median latency that requests saw differs too much from the speed.
func disagrees(seen []time.Duration, speed variant.Speed) bool {
	if len(seen) < seenAnswers {
		return false
	}
	sorted := slices.Sorted(slices.Values(seen))
	ratio := float64(sorted[len(sorted)/2]) / float64(speed.ITL())
	return ratio > disagreement || ratio < 1/disagreement
}

// experience is a server.Generator that reports the speed of its answers to the measurer.
type experience struct {
	server.Generator
	measurer *measurer
	engine   *engine
}

// Submit implements server.Generator.
func (x *experience) Submit(ctx context.Context, request infer.Request) (infer.Generation, error) {
	g, err := x.Generator.Submit(ctx, request)
	if err != nil {
		return nil, err
	}
	return &experienced{Generation: g, experience: x}, nil
}

// experienced is a timed infer.Generation. Only one goroutine may read it.
type experienced struct {
	infer.Generation
	experience *experience
	first      time.Time // zero before the first token
	tokens     int       // tokens that came with the first chunk
	alone      bool      // whether no other request ran when the first chunk came
}

// Next implements infer.Generation.
func (g *experienced) Next(ctx context.Context) (infer.Chunk, error) {
	chunk, err := g.Generation.Next(ctx)
	if err != nil {
		return chunk, err
	}
	if g.first.IsZero() && chunk.Usage.Completion > 0 {
		g.first, g.tokens, g.alone = time.Now(), chunk.Usage.Completion, g.experience.measurer.alone()
	}
	if more := chunk.Usage.Completion - g.tokens; chunk.Finish != "" && g.alone && more >= seenTokens {
		g.experience.measurer.saw(g.experience.engine, chunk.Usage.Prompt, time.Since(g.first)/time.Duration(more))
	}
	return chunk, nil
}

// alone reports whether exactly one request runs and nothing else.
func (m *measurer) alone() bool {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return m.state.activity.alone()
}

// saw records the inter-token latency of an answer that began alone, and the number of tokens in its prompt. If the
// last answers disagree with the engine's speed, saw starts another measurement.
func (m *measurer) saw(e *engine, prompt int, itl time.Duration) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.speed == nil || e.provisional || !s.activity.alone() || prompt > seenPrompt*e.speed.PromptTokens {
		return
	}
	e.seen = append(e.seen, itl)
	e.seen = e.seen[max(0, len(e.seen)-seenAnswers):]
	if e.remeasured >= maxRemeasured || !disagrees(e.seen, *e.speed) {
		return
	}
	e.remeasured++
	e.seen = nil
	m.log.Info("requests see another speed than the card, measuring again", "variant", e.built.Name(), "itl_ms", e.speed.ITLMillis)
	s.spawn(func() { m.learnSpeed(e, true) })
}
