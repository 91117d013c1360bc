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
