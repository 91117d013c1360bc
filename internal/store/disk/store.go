package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"prunellm/internal/store"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	// storeName is the name of this store in hooks.
	storeName = "disk"
	// staleTemp is the age from which a temporary file is considered to be from a dead process.
	staleTemp = time.Hour
)

// Options are the options of Store and Files.
type Options struct {
	// LimitBytes is the total size above which the least recently used entries are evicted. 0 means no limit.
	LimitBytes int64
	Log        *slog.Logger
	Hooks      store.Hooks
}

// Store implements store.Store and store.Leaser in a directory.
type Store struct {
	dir     string   // v1/values, absolute
	root    *os.Root // the same directory; names cannot lead out of it
	locks   string   // v1/locks, absolute
	options Options

	evict sync.Mutex // one eviction at a time in this process
}

// Open opens the store in cacheDir and creates cacheDir and its directories if necessary. Close frees the handle on
// them.
func Open(cacheDir string, o Options) (*Store, error) {
	dir, err := makeDir(cacheDir, "values")
	if err != nil {
		return nil, err
	}
	locks, err := makeDir(cacheDir, "locks")
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache directory: %w", err)
	}
	s := &Store{dir: dir, root: root, locks: locks, options: o}
	removeStaleTemps(root)
	return s, nil
}

// Close frees the handle on the directory. Leases stay valid.
func (s *Store) Close() error { return s.root.Close() }

// entryName returns the name of a key's file relative to the root.
func entryName(key store.Key) string {
	return path.Join(append([]string{key.Model}, key.Segments()...)...)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) ([]byte, error) {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	value, err := s.read(key)
	switch {
	case err == nil:
		now := time.Now()
		if err := s.root.Chtimes(entryName(key), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.options.Log.Debug("cache entry not marked as used", "key", key.String(), "error", err)
		}
		s.options.Hooks.Hit(storeName, key.Kind)
		return value, nil
	case errors.Is(err, fs.ErrNotExist):
		s.options.Hooks.Miss(storeName, key.Kind)
		return nil, fmt.Errorf("get %s from disk: %w", key, store.ErrNotFound)
	case unreadable(err):
		return nil, fmt.Errorf("get %s from disk: %w", key, err)
	}
	s.options.Hooks.Corrupt(storeName, key.Kind)
	s.options.Log.Warn("corrupt cache entry deleted", "store", storeName, "key", key.String(), "error", err)
	if err := s.discard(key); err != nil {
		s.options.Log.Warn("corrupt cache entry not deleted", "store", storeName, "key", key.String(), "error", err)
	}
	return nil, fmt.Errorf("get %s from disk: %w: %w", key, store.ErrCorrupt, err)
}

// read returns a value after verifying it.
func (s *Store) read(key store.Key) ([]byte, error) {
	if err := s.checkParents(key); err != nil {
		return nil, err
	}
	f, info, err := openRegular(s.root, entryName(key))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return store.DecodeEntry(f, info.Size(), key, store.MaxValueBytes)
}

// checkParents returns an error if a directory on the way to an entry is a link. os.Root keeps links inside the store,
// but a link could make one entry appear as another.
func (s *Store) checkParents(key store.Key) error {
	dir := key.Model
	for _, segment := range key.Segments() {
		info, err := s.root.Lstat(dir)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		dir = path.Join(dir, segment)
	}
	return nil
}

// discard removes whatever has the entry's name, or is in place of one of its directories.
func (s *Store) discard(key store.Key) error {
	dir := key.Model
	for _, segment := range key.Segments() {
		if info, err := s.root.Lstat(dir); err == nil && !info.IsDir() {
			return s.root.Remove(dir)
		}
		dir = path.Join(dir, segment)
	}
	return s.root.RemoveAll(dir)
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key store.Key, value []byte) error {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return err
	}
	if int64(len(value)) > store.MaxValueBytes {
		return fmt.Errorf("put %s: value has %d bytes; the limit is %d", key, len(value), int64(store.MaxValueBytes))
	}
	if err := s.write(key, value); err != nil {
		return fmt.Errorf("put %s on disk: %w", key, err)
	}
	if s.options.LimitBytes > 0 {
		s.enforceLimit(entryName(key))
	}
	return nil
}

func (s *Store) write(key store.Key, value []byte) error {
	header, err := store.NewHeader(key, value, 0).Encode()
	if err != nil {
		return err
	}
	name := entryName(key)
	if err := s.root.MkdirAll(path.Dir(name), dirMode); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(name, renameio.WithRoot(s.root), renameio.WithStaticPermissions(fileMode))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }() // does nothing after success
	if _, err := f.Write(header); err != nil {
		return err
	}
	if _, err := f.Write(value); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncDir(s.root, path.Dir(name))
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return err
	}
	if err := s.root.RemoveAll(entryName(key)); err != nil {
		return fmt.Errorf("delete %s from disk: %w", key, err)
	}
	return nil
}

// List implements store.Store. It skips names that are not keys.
func (s *Store) List(ctx context.Context, model string, kind store.Kind) ([]store.Key, error) {
	probe := store.Key{Model: model, Kind: kind, Recipe: "0"}
	if err := errors.Join(probe.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	var keys []store.Key
	err := fs.WalkDir(s.root.FS(), path.Join(model, string(kind)), func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !entry.Type().IsRegular():
			return ctx.Err()
		}
		if key, err := store.KeyFromSegments(model, strings.Split(name, "/")[1:]); err == nil {
			keys = append(keys, key)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list cache directory: %w", err)
	}
	slices.SortFunc(keys, func(a, b store.Key) int { return strings.Compare(a.String(), b.String()) })
	return keys, nil
}
