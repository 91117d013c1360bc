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

// subscriptionCheck is the time without a message after which the client checks a subscription. The client's default of
// three seconds would load Redis if there are very many replicas.
const subscriptionCheck = 30 * time.Second

// Watching configures Watch, which calls the functions from its own goroutine.
type Watching struct {
	// Interval is the interval between reads of the index. Each replica varies it by up to a quarter.
	Interval time.Duration
	// Announce is called for each entry: first for existing ones, then for new and replaced ones. An announced entry
	// may have vanished or be damaged, which only Get detects.
	Announce func(store.Key)
	// Sizes, if set, is called after each read of the index with the number of bytes of the model's values by kind.
	Sizes func(map[store.Kind]int64)
}

// Watch observes the entries of a model until ctx ends and returns ctx's error. It announces a new entry as soon as a
// message arrives, or at the next read of the index if the message is lost. Watch continues after outages.
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
			// The sizes have changed. All replicas get the message at the same time, so each waits for a random time
			// before it reads the index.
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

// announced maps a key to the id of the last announced write. The id is "" after a message, which contains none.
type announced map[store.Key]string

// publication announces the entry that a message names. Any client may publish anything, so publication skips invalid
// names and remembers at most as many names as an index may have.
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

// look reads the index and announces new and replaced entries.
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
	for key := range seen { // forget missing entries, so that they are announced again if they return
		if !there[key] {
			delete(seen, key)
		}
	}
	if w.Sizes != nil {
		w.Sizes(sizesOf(entries))
	}
}
