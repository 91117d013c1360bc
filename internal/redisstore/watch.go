package redisstore

import (
	"context"
	"errors"
	"time"

	"prunellm/internal/variant"
)

// Watch calls announce for each entry of a model, those that are there at first and then new and replaced ones, until ctx
// ends, whose error it returns. Entries are announced by a publication at once and, should that be lost, by a look at the
// index every interval. It goes on through outages. An announced entry may be gone or damaged: Get decides.
func (s *Store) Watch(ctx context.Context, model string, interval time.Duration, announce func(variant.Key)) error {
	probe := variant.Key{Model: model, Kind: variant.KindPlan, Recipe: "0"}
	if err := errors.Join(probe.Validate(), ctx.Err()); err != nil {
		return err
	}
	subscription := s.client.Subscribe(ctx, channel(model)) // connects, and connects again, in the background
	defer subscription.Close()
	messages := subscription.Channel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	seen := map[variant.Key]string{} // by key, the id of the write that was announced last
	for {
		s.announceNew(ctx, model, seen, announce)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-messages:
		}
	}
}

// announceNew looks at the index. A publication only says that it is worth a look: what it names may be anything.
func (s *Store) announceNew(ctx context.Context, model string, seen map[variant.Key]string, announce func(variant.Key)) {
	entries, err := s.entries(ctx, model)
	if err != nil {
		if ctx.Err() == nil {
			s.options.Log.Debug("shared entries not listed", "store", storeName, "error", err)
		}
		return
	}
	there := make(map[variant.Key]bool, len(entries))
	for _, entry := range entries {
		there[entry.key] = true
		if seen[entry.key] != entry.header.ID {
			seen[entry.key] = entry.header.ID
			announce(entry.key)
		}
	}
	for key := range seen { // what is gone is announced again when it comes back
		if !there[key] {
			delete(seen, key)
		}
	}
}
