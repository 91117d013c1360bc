package redis

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"prunellm/internal/store"
)

// maxIndex bounds the number of entries to read from an index.
const maxIndex = 1 << 14

// indexed is one entry of the index.
type indexed struct {
	key store.Key
	usage
}

// index reads a model's index. It skips invalid fields.
func (s *Store) index(ctx context.Context, model string) ([]indexed, error) {
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	var entries []indexed
	for cursor := uint64(0); len(entries) < maxIndex; {
		pairs, next, err := s.client.HScan(ctx, indexKey(model), cursor, "", 512).Result()
		if wrongType(err) {
			return nil, nil // the next write replaces it
		}
		if err != nil {
			return nil, s.wrap(ctx, "read redis index", err)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			key, err := keyFromField(model, pairs[i])
			used, ok := parseUsage(pairs[i+1])
			if err == nil && ok {
				entries = append(entries, indexed{key, used})
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	slices.SortFunc(entries, func(a, b indexed) int { return strings.Compare(a.key.String(), b.key.String()) })
	return slices.CompactFunc(entries, func(a, b indexed) bool { return a.key == b.key }), nil
}

// present returns the entries that exist. It removes the others, which have expired or were evicted, from the index.
func (s *Store) present(ctx context.Context, model string, entries []indexed) ([]indexed, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	exists := make([]*redis.IntCmd, len(entries))
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, entry := range entries {
			exists[i] = p.Exists(ctx, entryKey(entry.key))
		}
		return nil
	})
	if err != nil {
		return nil, s.wrap(ctx, "check entries in redis", err)
	}
	var there []indexed
	var gone []string
	for i, entry := range entries {
		if exists[i].Val() > 0 {
			there = append(there, entry)
		} else {
			gone = append(gone, field(entry.key))
		}
	}
	if len(gone) > 0 {
		if err := s.client.HDel(ctx, indexKey(model), gone...).Err(); err != nil {
			s.options.Log.Debug("stale index fields not removed", "store", storeName, "error", err)
		}
	}
	return there, nil
}

// entries returns the existing entries of a model, sorted by key.
func (s *Store) entries(ctx context.Context, model string) ([]indexed, error) {
	entries, err := s.index(ctx, model)
	if err != nil {
		return nil, err
	}
	return s.present(ctx, model, entries)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, model string, kind store.Kind) ([]store.Key, error) {
	probe := store.Key{Model: model, Kind: kind, Recipe: "0"}
	if err := errors.Join(probe.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	entries, err := s.entries(ctx, model)
	if err != nil {
		return nil, err
	}
	var keys []store.Key
	for _, entry := range entries {
		if entry.key.Kind == kind {
			keys = append(keys, entry.key)
		}
	}
	return keys, nil
}

// Sizes returns the number of bytes of a model's values in Redis by kind, not counting headers and names.
func (s *Store) Sizes(ctx context.Context, model string) (map[store.Kind]int64, error) {
	probe := store.Key{Model: model, Kind: store.KindPlan, Recipe: "0"}
	if err := errors.Join(probe.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	entries, err := s.entries(ctx, model)
	if err != nil {
		return nil, err
	}
	return sizesOf(entries), nil
}

func sizesOf(entries []indexed) map[store.Kind]int64 {
	sizes := map[store.Kind]int64{}
	for _, entry := range entries {
		sizes[entry.key.Kind] += entry.sizeBytes
	}
	return sizes
}

// enforceLimit evicts a model's least recently used entries until its limit holds. It never evicts keep. If two
// replicas run it at the same time, they evict the same entries.
func (s *Store) enforceLimit(ctx context.Context, keep store.Key) {
	entries, err := s.entries(ctx, keep.Model)
	if err != nil {
		s.options.Log.Warn("size limit not enforced", "store", storeName, "error", err)
		return
	}
	var total int64
	for _, entry := range entries {
		total += entry.sizeBytes
	}
	slices.SortStableFunc(entries, func(a, b indexed) int { return int(min(max(a.usedMilli-b.usedMilli, -1), 1)) })
	for _, entry := range entries {
		if total <= s.options.MaxModelBytes || entry.key == keep {
			continue
		}
		if _, err := s.drop(ctx, entry.key, "*"); err != nil {
			s.options.Log.Warn("cache entry not evicted", "store", storeName, "key", entry.key.String(), "error", err)
			continue
		}
		total -= entry.sizeBytes
		s.options.Log.Info("cache entry evicted", "store", storeName, "key", entry.key.String(), "size_bytes", entry.sizeBytes)
	}
}
