package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"prunellm/internal/store"
)

const (
	// storeName is the name of this store in hooks.
	storeName = "redis"
	// orphanTTL is the TTL of chunks without a header.
	orphanTTL = time.Hour
	// retiredTTL is how long readers of a replaced value can still read its chunks.
	retiredTTL = 30 * time.Second
	// readAttempts bounds the number of attempts to read a value that is replaced meanwhile.
	readAttempts = 4
)

// Store implements store.Remote in Redis.
type Store struct {
	client  redis.UniversalClient
	scripts scripts
	options Options
}

// Open returns a store. It does not connect, because the server may start later. Close frees the connections.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := newClient(o)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, scripts: newScripts(), options: o}, nil
}

// Close closes all connections. Leases expire.
func (s *Store) Close() error { return s.client.Close() }

// withTimeout returns a context for one operation that transfers sizeBytes in addition to a small command.
func (s *Store) withTimeout(ctx context.Context, sizeBytes int64) (context.Context, context.CancelFunc) {
	limit := s.options.Timeout + time.Duration(sizeBytes)*time.Second/bytesPerSecond
	return context.WithTimeoutCause(ctx, limit, errTimeout)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) ([]byte, error) {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("get %s from redis", key)
	for range readAttempts {
		value, head, err := s.read(ctx, key)
		var damage *damageError
		switch {
		case err == nil:
			s.options.Hooks.Hit(storeName, key.Kind)
			return value, nil
		case errors.Is(err, redis.Nil):
			s.options.Hooks.Miss(storeName, key.Kind)
			return nil, fmt.Errorf("%s: %w", what, store.ErrNotFound)
		case !errors.As(err, &damage):
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if s.dropDamaged(ctx, key, head, damage) {
			return nil, fmt.Errorf("%s: %w: %w", what, store.ErrCorrupt, damage)
		}
		// The entry has been replaced or deleted since, so read the newer state.
	}
	return nil, fmt.Errorf("%s: %w: the value is replaced faster than it can be read", what, store.ErrUnavailable)
}

// damageError says why an entry is corrupt.
type damageError struct{ reason error }

func (d *damageError) Error() string { return d.reason.Error() }
func (d *damageError) Unwrap() error { return d.reason }

func damaged(reason error) error { return &damageError{reason} }

// read returns the value after verifying it. It also returns the start of the entry for dropDamaged.
func (s *Store) read(ctx context.Context, key store.Key) (value []byte, head string, err error) {
	small, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	// Read one byte more than any valid entry has, to detect a longer one without transferring all of it.
	entry, err := s.client.GetRange(small, entryKey(key), 0, store.MaxHeaderBytes+inlineBytes).Result()
	if wrongType(err) {
		return nil, "", damaged(errors.New("entry is not a string"))
	}
	if err != nil {
		return nil, "", s.wrap(small, "read entry", err)
	}
	if entry == "" { // a missing key also gives ""
		exists, err := s.client.Exists(small, entryKey(key)).Result()
		switch {
		case err != nil:
			return nil, "", s.wrap(small, "read entry", err)
		case exists == 0:
			return nil, "", redis.Nil
		}
	}
	head = entry[:min(len(entry), store.MaxHeaderBytes)]
	header, length, err := store.DecodeHeader([]byte(head), key, s.options.MaxValueBytes)
	if err != nil {
		return nil, head, damaged(err)
	}
	value = []byte(entry[length:])
	if header.Chunks > 0 {
		if len(value) > 0 {
			return nil, head, damaged(errors.New("a header that names chunks is followed by bytes"))
		}
		if value, err = s.readChunks(ctx, key, header); err != nil {
			return nil, head, err
		}
	}
	if err := header.Verify(value); err != nil {
		return nil, head, damaged(err)
	}
	s.touch(ctx, key, header)
	return value, head, nil
}

// readChunks reads a value in chunks. It allocates the value only after Redis has confirmed the length of each chunk.
func (s *Store) readChunks(ctx context.Context, key store.Key, header store.Header) ([]byte, error) {
	names := chunkKeys(key, header)
	if err := s.checkChunks(ctx, names, header); err != nil {
		return nil, err
	}
	// The two extra bytes let the client read each chunk and its line end in place.
	value := make([]byte, header.Size+2)
	for i, name := range names {
		start := int64(i) * header.ChunkBytes
		if err := s.readChunk(ctx, name, value[start:], header.ChunkSize(i)); err != nil {
			return nil, err
		}
	}
	return value[:header.Size:header.Size], nil
}

func (s *Store) checkChunks(ctx context.Context, names []string, header store.Header) error {
	small, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	lengths := make([]*redis.IntCmd, len(names))
	// Ignore the pipeline's error, which is that of the first failing command. The code below checks each command.
	_, err := s.client.Pipelined(small, func(p redis.Pipeliner) error {
		for i, name := range names {
			lengths[i] = p.StrLen(small, name)
		}
		return nil
	})
	for i, length := range lengths {
		switch n, lengthErr := length.Result(); {
		case wrongType(lengthErr):
			return damaged(fmt.Errorf("chunk %d is not a string", i))
		case lengthErr != nil:
			return s.wrap(small, "read chunk lengths", lengthErr)
		case n != header.ChunkSize(i):
			return damaged(fmt.Errorf("chunk %d has %d bytes instead of %d", i, n, header.ChunkSize(i)))
		}
	}
	return s.wrap(small, "read chunk lengths", err)
}

// readChunk reads sizeBytes into buffer, which must be at least that long. The client does not retry a read into a
// buffer, so readChunk retries once, in case the connection broke while idle.
func (s *Store) readChunk(ctx context.Context, name string, buffer []byte, sizeBytes int64) error {
	limited, cancel := s.withTimeout(ctx, sizeBytes)
	defer cancel()
	buffer = buffer[:sizeBytes+min(2, int64(len(buffer))-sizeBytes)]
	n, err := s.client.GetToBuffer(limited, name, buffer).Result()
	if err != nil && !errors.Is(err, redis.Nil) && !wrongType(err) && limited.Err() == nil {
		n, err = s.client.GetToBuffer(limited, name, buffer).Result()
	}
	switch {
	case errors.Is(err, redis.Nil) || wrongType(err):
		return damaged(errors.New("a chunk vanished while it was read"))
	case err != nil:
		return s.wrap(limited, "read chunk", err)
	case int64(n) != sizeBytes:
		return damaged(fmt.Errorf("a chunk has %d bytes instead of %d", n, sizeBytes))
	}
	return nil
}

// touch records the use of an entry. It ignores errors, because only expiry and eviction depend on it.
func (s *Store) touch(ctx context.Context, key store.Key, header store.Header) {
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	keys := append([]string{entryKey(key), indexKey(key.Model)}, chunkKeys(key, header)...)
	err := s.scripts.touch.Run(ctx, s.client, keys, s.ttlMilli(), field(key), header.Size, header.ID).Err()
	if err != nil {
		s.options.Log.Debug("use of an entry not recorded", "store", storeName, "key", key.String(), "error", err)
	}
}

func (s *Store) ttlMilli() int64 { return max(0, s.options.TTL.Milliseconds()) }

// dropDamaged deletes and counts a damaged entry. It returns false if the entry has changed since it was read.
func (s *Store) dropDamaged(ctx context.Context, key store.Key, head string, reason error) bool {
	result, err := s.drop(ctx, key, head)
	if err == nil && result != "dropped" {
		return false
	}
	s.options.Hooks.Corrupt(storeName, key.Kind)
	s.options.Log.Warn("corrupt cache entry deleted", "store", storeName, "key", key.String(), "error", reason)
	if err != nil {
		s.options.Log.Warn("corrupt cache entry not deleted", "store", storeName, "key", key.String(), "error", err)
	}
	return true
}

// drop runs the drop script and deletes the chunks of the removed entry.
func (s *Store) drop(ctx context.Context, key store.Key, head string) (result string, err error) {
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	keys := []string{entryKey(key), indexKey(key.Model)}
	answer, err := s.scripts.drop.Run(ctx, s.client, keys, field(key), head).StringSlice()
	if err != nil || len(answer) == 0 {
		return "", s.wrap(ctx, "delete entry", err)
	}
	if answer[0] == "dropped" && len(answer) == 3 {
		s.deleteChunks(ctx, chunksOf(key, answer[1]))
		if used, ok := parseUsage(answer[2]); ok {
			s.deleteChunks(ctx, chunkKeys(key, used.header))
		}
	}
	return answer[0], nil
}

// deleteChunks deletes chunks that no header names. If it fails, they expire.
func (s *Store) deleteChunks(ctx context.Context, names []string) {
	if len(names) == 0 {
		return
	}
	if err := s.client.Unlink(ctx, names...).Err(); err != nil {
		s.options.Log.Debug("chunks not deleted, they will expire", "store", storeName, "error", err)
	}
}

// chunksOf returns the names of an entry's chunks, given the start of the entry. It returns none if the start is not a
// valid header.
func chunksOf(key store.Key, head string) []string {
	header, _, err := store.DecodeHeader([]byte(head), key, store.MaxValueBytes)
	if err != nil {
		return nil
	}
	return chunkKeys(key, header)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return err
	}
	_, err := s.drop(ctx, key, "*")
	return err
}

// Has implements store.Remote.
func (s *Store) Has(ctx context.Context, key store.Key) (bool, error) {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return false, err
	}
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	n, err := s.client.Exists(ctx, entryKey(key)).Result()
	return n > 0, s.wrap(ctx, "check entry in redis", err)
}
