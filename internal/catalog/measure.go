package catalog

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"prunellm/internal/variant"
)

// ErrDisturbed is wrapped by the error of Measure.Speed if other work disturbed the measurement.
var ErrDisturbed = errors.New("disturbed by other work")

// measurer learns in the background what is not known of loaded variants, one measurement at a time.
type measurer struct {
	state   *state
	measure Measure
	ctx     context.Context // ends when the catalog closes
	turn    turn            // held while something is measured
	retry   backoff         // of a speed whose measurement was disturbed; each engine starts with a copy
	log     *slog.Logger
}

// learn begins to measure a loaded engine. The caller holds the state's mutex.
func (m *measurer) learn(e *engine) {
	if m.measure.Speed != nil {
		m.state.spawn(func() { m.learnSpeed(e, m.retry) })
	}
	if m.measure.Cost != nil {
		m.state.spawn(func() { m.learnCost(e) })
	}
}

// learnSpeed measures how fast an engine answers. While requests or builds disturb it, it tries again after a pause.
func (m *measurer) learnSpeed(e *engine, retry backoff) {
	for {
		err := m.trySpeed(e)
		if err == nil {
			return
		}
		if !errors.Is(err, ErrDisturbed) {
			if m.ctx.Err() == nil && !m.isEvicted(e) {
				m.log.Warn("speed not measured", "variant", e.built.Name(), "error", err)
			}
			return
		}
		select {
		case <-m.ctx.Done():
			return
		case <-e.Done():
			return
		case <-time.After(retry.pause()):
		}
	}
}

func (m *measurer) trySpeed(e *engine) error {
	release, err := m.turn.take(m.ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, begun, err := m.begin(e)
	if err != nil {
		return err
	}
	defer m.end(e)
	speed, err := m.measure.Speed(ctx, e.built, e.Serving, func() bool { return m.undisturbed(begun) })
	if err != nil {
		return err
	}
	m.state.mu.Lock()
	e.speed = &speed
	m.state.mu.Unlock()
	m.log.Info("speed known", "variant", e.built.Name(), "ttft_ms", speed.TTFTMillis, "itl_ms", speed.ITLMillis)
	return nil
}

// begin starts a measurement if nothing else runs. Its context ends when the engine is evicted. Whoever began calls end.
func (m *measurer) begin(e *engine) (ctx context.Context, begun int, err error) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.evicted:
		return nil, 0, context.Canceled
	case !s.activity.quiet():
		return nil, 0, ErrDisturbed
	}
	ctx, e.stopMeasuring = context.WithCancel(m.ctx)
	s.count(func() { s.activity.measuring++ })
	return ctx, s.activity.begun, nil
}

func (m *measurer) end(e *engine) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	e.stopMeasuring()
	e.stopMeasuring = nil
	s.count(func() { s.activity.measuring-- })
}

func (m *measurer) undisturbed(begun int) bool {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return m.state.activity.undisturbed(begun)
}

func (m *measurer) isEvicted(e *engine) bool {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return e.evicted
}

// learnCost measures what pruning cost a variant.
func (m *measurer) learnCost(e *engine) {
	release, err := m.turn.take(m.ctx)
	if err != nil {
		return
	}
	defer release()
	cost, err := m.measure.Cost(m.ctx, e.built)
	switch {
	case errors.Is(err, context.Canceled):
		return
	case errors.Is(err, variant.ErrNoHeldOut):
		m.log.Debug("cost of pruning not measured", "variant", e.built.Name(), "error", err)
		return
	case err != nil:
		m.log.Warn("cost of pruning not measured", "variant", e.built.Name(), "error", err)
		return
	}
	m.state.mu.Lock()
	e.cost = &cost
	m.state.mu.Unlock()
	m.log.Info("variant measured on held-out text", "variant", e.built.Name(), "perplexity", cost.Perplexity,
		"perplexity_ratio", cost.Ratio(), "kl_to_dense", cost.KLToDense, "top1_agreement", cost.Top1Agreement,
		"eval_tokens", cost.Tokens)
}
