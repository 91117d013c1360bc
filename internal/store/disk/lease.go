package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"prunellm/internal/store"
)

// newLock returns an flock that creates its file but does not follow a link. Two locks exclude each other even within
// one process, because each opens the file itself.
func newLock(path string) *flock.Flock {
	return flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW), flock.SetPermissions(fileMode))
}

// lockName returns the path of a key's lock without the suffix. The name is a digest, because keys can be longer than
// file names may be.
func (s *Store) lockName(key store.Key) string {
	sum := sha256.Sum256([]byte(key.String()))
	return filepath.Join(s.locks, hex.EncodeToString(sum[:]))
}

// Acquire implements store.Leaser for the processes and goroutines that share the directory. A lease cannot be lost
// while its process lives, and it ends with the process.
func (s *Store) Acquire(ctx context.Context, key store.Key) (store.Lease, bool, error) {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return nil, false, err
	}
	name := s.lockName(key)
	lock := newLock(name + ".lock")
	ok, err := lock.TryLock()
	if err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", key, err)
	}
	if !ok {
		return nil, false, nil
	}
	return &lease{store: s, model: key.Model, lock: lock, progress: name + ".progress"}, true, nil
}

// Progress implements store.Leaser. It may return the progress of a process that has died.
func (s *Store) Progress(ctx context.Context, key store.Key) ([]byte, error) {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.lockName(key)+".progress", os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read progress of %s: %w", key, err)
	}
	defer f.Close()
	progress, err := io.ReadAll(io.LimitReader(f, store.MaxProgressBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read progress of %s: %w", key, err)
	}
	if len(progress) > store.MaxProgressBytes || !json.Valid(progress) {
		return nil, nil
	}
	return progress, nil
}

// lease implements store.Lease with an flock.
type lease struct {
	store    *Store
	model    string
	lock     *flock.Flock
	progress string // path of the progress file

	mu     sync.Mutex // guards closed; keeps a late SetProgress from writing the progress file
	closed bool
}

// Lost returns nil, because the lock is held until Close or the end of the process.
func (l *lease) Lost() <-chan struct{} { return nil }

// SetProgress implements store.Lease. It does not sync to disk, because progress is useless after a crash.
func (l *lease) SetProgress(ctx context.Context, progress []byte) error {
	if len(progress) > store.MaxProgressBytes || !json.Valid(progress) {
		return fmt.Errorf("progress of %d bytes is not valid JSON of at most %d bytes", len(progress), store.MaxProgressBytes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil || l.closed {
		return err
	}
	if err := renameio.WriteFile(l.progress, progress, fileMode, renameio.WithTempDir(filepath.Dir(l.progress))); err != nil {
		return fmt.Errorf("write progress: %w", err)
	}
	return nil
}

// Put implements store.Lease.
func (l *lease) Put(ctx context.Context, key store.Key, value []byte) error {
	if key.Model != l.model {
		return fmt.Errorf("put %s: the lease is only for model %s", key, l.model)
	}
	return l.store.Put(ctx, key, value)
}

// Close implements store.Lease. It keeps the lock file, because without it two processes could lock different files.
func (l *lease) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if err := os.Remove(l.progress); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.store.options.Log.Debug("progress file not removed", "error", err)
	}
	return l.lock.Close()
}
