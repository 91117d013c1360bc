package workshop

import (
	"context"
	"errors"
	"time"

	"prunellm/internal/store"
	redisstore "prunellm/internal/store/redis"
	"prunellm/internal/variant"
)

// fleetInterval is the time between two reads of the index of stored values. Messages of other replicas arrive at once.
const fleetInterval = time.Minute

// Watch finds, in the background, which ratios of the spec other replicas have published. It passes each to offer, which reports
// whether the ratio is new. It also measures the size of the model's values in Redis. Without Redis it does nothing. The caller
// calls stop, which waits.
func (w *Workshop) Watch(ctx context.Context, spec variant.Spec, offer func(ratio float64) bool) (stop func()) {
	if w.remote == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.watch(ctx, spec, offer); err != nil && !errors.Is(err, context.Canceled) {
			w.log.Warn("cannot watch other replicas", "error", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (w *Workshop) watch(ctx context.Context, spec variant.Spec, offer func(ratio float64) bool) error {
	model := w.Builder.Model
	digest, err := model.Digest(ctx)
	if err != nil {
		return err
	}
	return w.remote.Watch(ctx, digest, redisstore.Watching{
		Interval: fleetInterval,
		Announce: func(key store.Key) {
			if ratio, ok := spec.PlanRatio(key); ok && offer(ratio) {
				w.log.Info("variant made by another replica", "variant", variant.Name(w.Builder.Name, ratio))
			}
		},
		Sizes: w.Counters.sharedSizes,
	})
}
