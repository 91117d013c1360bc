package main

import (
	"context"
	"errors"
	"time"

	"prunellm/internal/catalog"
	"prunellm/internal/store"
	redisstore "prunellm/internal/store/redis"
	"prunellm/internal/variant"
	"prunellm/models"
)

// fleetInterval is the time between two looks at what the other replicas have made; publications are heard at once.
const fleetInterval = time.Minute

// watchFleet learns in the background which ratios other replicas have published, and what the model's values cost in
// Redis. Without Redis it does nothing. The function that it returns ends it.
func watchFleet(env *environment, shop *workshop, spec variant.Spec, variants *catalog.Catalog) (stop func()) {
	model := shop.builder.Model
	if shop.remote == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(env.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := watchModel(ctx, model, shop.remote, redisstore.Watching{
			Interval: fleetInterval,
			Announce: func(key store.Key) {
				if ratio, ok := spec.PlanRatio(key); ok && variants.Offer(ratio) {
					env.log.Info("variant made by another replica", "variant", variant.Name(model.ServedName(), ratio))
				}
			},
			Sizes: shop.counters.sharedSizes,
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			env.log.Warn("other replicas are not watched", "error", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func watchModel(ctx context.Context, model *models.GGUF, remote *redisstore.Store, watching redisstore.Watching) error {
	digest, err := model.Digest(ctx)
	if err != nil {
		return err
	}
	return remote.Watch(ctx, digest, watching)
}
