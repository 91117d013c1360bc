package redis

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"prunellm/internal/store"
)

// subscriptionCheck is the silence after which the client checks a subscription. Its default of three seconds would
// load Redis if there are very many replicas.
const subscriptionCheck = 30 * time.Second

// Watching holds the settings of Watch. Its functions are called from Watch's goroutine.
type Watching struct {
	// Interval is the time between two reads of the index. Each replica varies it by up to a quarter.
	Interval time.Duration
	// Announce is called for each entry: existing ones first, then new and replaced ones. An announced entry may be
	// gone or damaged; only Get can tell.
	Announce func(store.Key)
	// Sizes, if set, is called after each read of the index with the model's bytes by kind.
	Sizes func(map[store.Kind]int64)
}

// Watch observes the entries of a model until ctx ends, and returns its error. A message announces a new entry at once.
// If the message is lost, the next read of the index does. Watch survives outages.
func (s *Store) Watch(ctx context.Context, model string, w Watching) error {
	probe := store.Key{Model: model, Kind: store.KindPlan, Recipe: "0"}
	if err := errors.Join(probe.Validate(), ctx.Err()); err != nil {
		return err
	}
	subscription := s.client.Subscribe(ctx, channel(model)) // connects and reconnects in the background
	defer subscription.Close()
	messages := subscription.Channel(redis.WithChannelHealthCheckInterval(subscriptionCheck))
	seen := announced{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := time.Now(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			s.look(ctx, model, seen, w)
			next = time.Now().Add(spread(w.Interval))
		case message := <-messages:
			seen.publication(model, message, w.Announce)
			// The sizes have changed. All replicas get the message at once, so each waits for a random time before it reads.
			if soon := time.Now().Add(rand.N(w.Interval/4 + 1)); soon.Before(next) {
				next = soon
			}
		}
		timer.Reset(time.Until(next))
	}
}

// spread returns the interval, varied by up to a quarter.
func spread(interval time.Duration) time.Duration {
	return interval - interval/4 + rand.N(interval/2+1)
}

// announced holds by key the id of the write that was announced last, "" after a message, which has no id.
type announced map[store.Key]string

// publication announces the entry that a message names. Any client may publish anything, so it skips invalid names and
// remembers at most as many names as an index may hold.
func (a announced) publication(model string, message *redis.Message, announce func(store.Key)) {
	if message == nil || len(message.Payload) > store.MaxHeaderBytes {
		return
	}
	key, err := keyFromField(model, strings.Clone(message.Payload))
	if err != nil || len(a) >= maxIndex {
		return
	}
	a[key] = ""
	announce(key)
}

// look reads the index and announces new entries.
func (s *Store) look(ctx context.Context, model string, seen announced, w Watching) {
	entries, err := s.entries(ctx, model)
	if err != nil {
		if ctx.Err() == nil {
			s.options.Log.Debug("shared entries not listed", "store", storeName, "error", err)
		}
		return
	}
	there := make(map[store.Key]bool, len(entries))
	for _, entry := range entries {
		there[entry.key] = true
		id, known := seen[entry.key]
		seen[entry.key] = entry.header.ID
		if !known || id != "" && id != entry.header.ID {
			w.Announce(entry.key)
		}
	}
	for key := range seen { // a missing entry is announced again when it returns
		if !there[key] {
			delete(seen, key)
		}
	}
	if w.Sizes != nil {
		w.Sizes(sizesOf(entries))
	}
}
