// Package speeds finds the latencies of loaded variants. It reads them from the store or, if the store has none,
// measures them with internal/bench. The catalog decides when.
package speeds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"prunellm/internal/bench"
	"prunellm/internal/catalog"
	"prunellm/internal/variant"
)

// Finder returns a function for catalog.Options that returns the stored speeds of variants, or measures and stores
// them. machine describes everything on this machine that decides a latency. It is part of the key of a stored speed.
func Finder(builder *variant.Builder, machine string, log *slog.Logger) func(context.Context, catalog.SpeedRequest) ([]variant.Speed, error) {
	return func(ctx context.Context, request catalog.SpeedRequest) ([]variant.Speed, error) {
		if speeds := stored(ctx, builder, machine, request); speeds != nil {
			return speeds, nil
		}
		engines := make([]bench.Engine, len(request.Subjects))
		for i, subject := range request.Subjects {
			engines[i] = subject.Engine
		}
		measured, err := bench.MeasureSpeeds(ctx, engines)
		busy := errors.Is(err, bench.ErrBusy)
		if errors.Is(err, bench.ErrBurst) {
			err = fmt.Errorf("%w: %w", err, catalog.ErrDisturbed)
		}
		if err != nil && !busy {
			return nil, err
		}
		if !request.Undisturbed() {
			return nil, catalog.ErrDisturbed
		}
		speeds, now := make([]variant.Speed, len(measured)), time.Now().Unix()
		for i, m := range measured {
			speeds[i] = variant.NewSpeed(m.TTFT.Median, m.ITL.Median, m.PromptTokens, now)
			speeds[i].TTFTSpread, speeds[i].ITLSpread = m.TTFT.Range, m.ITL.Range
		}
		if busy { // do not store what a busy machine measured
			return speeds, fmt.Errorf("%w: %w", catalog.ErrBusy, err)
		}
		for i, subject := range request.Subjects {
			if err := builder.KeepSpeed(ctx, subject.Built, machine, speeds[i]); err != nil {
				log.Warn("speed not stored", "variant", subject.Built.Name(), "error", err)
			}
		}
		return speeds, nil
	}
}

// stored returns the stored speeds. It returns nil unless the store has all of them and they were measured in turns.
func stored(ctx context.Context, builder *variant.Builder, machine string, request catalog.SpeedRequest) []variant.Speed {
	var speeds []variant.Speed
	for _, subject := range request.Subjects {
		speed, err := builder.Speed(ctx, subject.Built, machine)
		if request.Again || err != nil || speed.PromptTokens < bench.SpeedPromptOf(subject.Engine) || len(speeds) > 0 && speed.MeasuredAt != speeds[0].MeasuredAt {
			return nil
		}
		speeds = append(speeds, speed)
	}
	return speeds
}

// Of returns the speed of a target in a report: its last latencies with one stream. It reports false if the report has none, or if
// the prompts are not all bench.SpeedPrompt words long.
func Of(report *bench.Report, target string, now time.Time) (speed variant.Speed, ok bool) {
	if report.Plan.Prompt != bench.Exactly(bench.SpeedPrompt) {
		return variant.Speed{}, false
	}
	for _, r := range report.Results {
		if r.Target.Name == target && r.Load.Streams == 1 && r.TPOT.P50() > 0 {
			ms := float64(time.Millisecond)
			speed = variant.NewSpeed(time.Duration(r.TTFT.P50()*ms), time.Duration(r.TPOT.P50()*ms), bench.SpeedPrompt, now.Unix())
			speed.TTFTSpread, speed.ITLSpread, ok = 2*r.TTFT.SD/r.TTFT.P50(), 2*r.TPOT.SD/r.TPOT.P50(), true
		}
	}
	return speed, ok
}
