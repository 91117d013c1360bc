package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"prunellm/internal/store"
)

// Put implements store.Store. It writes the chunks first and the header last. Until then readers see the earlier value.
func (s *Store) Put(ctx context.Context, key store.Key, value []byte) error {
	return s.putFenced(ctx, key, value, key, "")
}

// putFenced stores the value. If token is set and another replica has since taken the lease on leased, it returns
// store.ErrStaleLease instead.
func (s *Store) putFenced(ctx context.Context, key store.Key, value []byte, leased store.Key, token string) error {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return err
	}
	what := fmt.Sprintf("put %s in redis", key)
	if int64(len(value)) > s.options.MaxValueBytes {
		return fmt.Errorf("%s: value has %d bytes; the limit is %d", what, len(value), s.options.MaxValueBytes)
	}
	var chunkBytes int64
	if len(value) > inlineBytes {
		chunkBytes = s.options.ChunkBytes
	}
	header := store.NewHeader(key, value, chunkBytes)
	entry, err := header.Encode()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	chunks := chunkKeys(key, header)
	if header.Chunks == 0 {
		entry = append(entry, value...)
	}
	if err = s.writeChunks(ctx, chunks, header, value); err == nil {
		err = s.commit(ctx, commitRequest{key: key, header: header, entry: entry, chunks: chunks, leased: leased, token: token})
	}
	if err != nil {
		s.discardChunks(ctx, chunks)
		return fmt.Errorf("%s: %w", what, err)
	}
	if s.options.MaxModelBytes > 0 {
		s.enforceLimit(ctx, key)
	}
	return nil
}

// writeChunks writes each chunk with a short TTL, which commit extends.
func (s *Store) writeChunks(ctx context.Context, names []string, header store.Header, value []byte) error {
	for i, name := range names {
		start := int64(i) * header.ChunkBytes
		chunk := value[start : start+header.ChunkSize(i)]
		limited, cancel := s.withTimeout(ctx, int64(len(chunk)))
		err := s.client.Set(limited, name, chunk, orphanTTL).Err()
		err = s.wrap(limited, "write chunk "+strconv.Itoa(i), err)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// discardChunks deletes the chunks of a failed write, even after the caller's context has ended.
func (s *Store) discardChunks(ctx context.Context, names []string) {
	ctx, cancel := s.withTimeout(context.WithoutCancel(ctx), 0)
	defer cancel()
	s.deleteChunks(ctx, names)
}

// commitRequest holds the arguments of the commit script.
type commitRequest struct {
	key    store.Key
	header store.Header
	entry  []byte // header line and inline value
	chunks []string
	leased store.Key // key whose fence to check
	token  string    // fencing token; "" if there is none
}

// commit makes the value valid. It retires the chunks of the value that it replaces.
func (s *Store) commit(ctx context.Context, r commitRequest) error {
	ctx, cancel := s.withTimeout(ctx, int64(len(r.entry)))
	defer cancel()
	keys := append([]string{entryKey(r.key), indexKey(r.key.Model), fenceKey(r.leased)}, r.chunks...)
	answer, err := s.scripts.commit.Run(ctx, s.client, keys,
		r.entry, s.ttlMilli(), r.token, field(r.key), r.header.Size, r.header.ID, channel(r.key.Model)).StringSlice()
	if err != nil {
		return s.wrap(ctx, "commit", err)
	}
	switch {
	case len(answer) == 2 && answer[0] == "ok":
		s.retireChunks(ctx, chunksOf(r.key, answer[1]))
		return nil
	case len(answer) == 1 && answer[0] == "stale":
		return store.ErrStaleLease
	}
	return errors.New("chunks were evicted while the value was written; redis is full")
}

// retireChunks makes the chunks of a replaced value expire soon. It does not delete them, because a reader may still
// need them.
func (s *Store) retireChunks(ctx context.Context, names []string) {
	if len(names) == 0 {
		return
	}
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range names {
			p.PExpire(ctx, name, retiredTTL)
		}
		return nil
	})
	if err != nil {
		s.options.Log.Debug("replaced chunks not retired, they will expire", "store", storeName, "error", err)
	}
}
