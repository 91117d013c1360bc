package catalog

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"prunellm/internal/variant"
)

// Errors of Measure.Speeds.
var (
	ErrDisturbed = errors.New("disturbed by other work") // in this process
	ErrBusy      = errors.New("disturbed by other programs")
)

// measurer measures loaded variants in the background, one at a time.
type measurer struct {
	state   *state
	measure Measure
	ctx     context.Context // ends when the catalog closes
	turn    turn            // held during a measurement
	quiet   backoff         // after a disturbed speed measurement; each engine starts with a copy
	idle    backoff         // after a measurement beside other programs; likewise
	log     *slog.Logger
}

// learn starts to measure a loaded engine. The caller must hold the state's mutex.
func (m *measurer) learn(e *engine) {
	if m.measure.Speeds != nil {
		m.state.spawn(func() { m.learnSpeed(e, false) })
	}
	if m.measure.Cost != nil {
		m.state.spawn(func() { m.learnCost(e) })
	}
}

// learnSpeed measures how fast an engine answers. If requests or builds disturb the measurement, it retries after a
// pause. If other programs disturb it, the pause is longer.
func (m *measurer) learnSpeed(e *engine, again bool) {
	quiet, idle := m.quiet, m.idle
	for {
		pause := time.Duration(0)
		err := m.trySpeed(e, again)
		switch {
		case err == nil:
			return
		case errors.Is(err, ErrBusy):
			again, pause = true, idle.pause()
			m.log.Info("speed measured beside other programs, measuring again later", "variant", e.built.Name(), "pause", pause.String(), "error", err)
		case errors.Is(err, ErrDisturbed):
			pause = quiet.pause()
		default:
			if m.ctx.Err() == nil && !m.isEvicted(e) {
				m.log.Warn("speed of a variant not measured", "variant", e.built.Name(), "error", err)
			}
			return
		}
		select {
		case <-m.ctx.Done():
			return
		case <-e.Done():
			return
		case <-time.After(pause):
		}
	}
}

// trySpeed measures an engine in turns with the other loaded engines.
func (m *measurer) trySpeed(e *engine, again bool) error {
	release, err := m.turn.take(m.ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, engines, begun, err := m.begin(e)
	if err != nil {
		return err
	}
	defer m.end(engines)
	request := SpeedRequest{Again: again, Undisturbed: func() bool { return m.undisturbed(begun) }}
	for _, e := range engines {
		request.Subjects = append(request.Subjects, Subject{e.built, e.Serving})
	}
	speeds, err := m.measure.Speeds(ctx, request)
	if err != nil && !errors.Is(err, ErrBusy) {
		if ctx.Err() != nil && m.ctx.Err() == nil && !m.isEvicted(e) { // another engine was evicted
			return errors.Join(ErrDisturbed, err)
		}
		return err
	}
	m.state.mu.Lock()
	for i, e := range engines {
		e.speed, e.provisional, e.seen = &speeds[i], err != nil, nil
	}
	m.state.mu.Unlock()
	for i, e := range engines {
		speed := speeds[i]
		m.log.Info("speed known", "variant", e.built.Name(), "ttft_ms", speed.TTFTMillis, "itl_ms", speed.ITLMillis,
			"ttft_spread", speed.TTFTSpread, "itl_spread", speed.ITLSpread, "measured_at", time.Unix(speed.MeasuredAt, 0).UTC().Format(time.RFC3339))
	}
	return err
}

// begin starts a measurement if nothing else runs. It returns the engines to measure, with e first. The context ends
// when one of them is evicted. The caller must call end.
func (m *measurer) begin(e *engine) (ctx context.Context, engines []*engine, begun int, err error) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.evicted:
		return nil, nil, 0, context.Canceled
	case !s.activity.quiet():
		return nil, nil, 0, ErrDisturbed
	}
	engines = s.comparedWith(e)
	ctx, e.stopMeasuring = context.WithCancel(m.ctx)
	for _, other := range engines {
		other.stopMeasuring = e.stopMeasuring
	}
	s.count(func() { s.activity.measuring++ })
	return ctx, engines, s.activity.begun, nil
}

func (m *measurer) end(engines []*engine) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	engines[0].stopMeasuring()
	for _, e := range engines {
		e.stopMeasuring = nil
	}
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

// learnCost measures the cost of pruning a variant.
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
