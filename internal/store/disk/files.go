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
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"prunellm/internal/store"
)

const (
	// filesName is the name of the file cache in hooks. Its kind is kindFile.
	filesName             = "files"
	kindFile   store.Kind = "gguf"
	modelExt              = ".gguf"
	sidecarExt            = ".json"
	tempExt               = ".tmp"
	// maxSidecarBytes bounds the size of a sidecar, which is about 130 bytes.
	maxSidecarBytes = 1 << 10
	lockPoll        = 100 * time.Millisecond
	hashBlockBytes  = 1 << 20 // bytes to hash between checks of the context
)

// Files caches assembled model files by the digest of their inputs. A file counts as present only with its sidecar,
// which is written last and has the size and sha256 of the file.
type Files struct {
	dir     string   // v1/files, absolute
	root    *os.Root // the same directory
	options Options

	mu       sync.Mutex
	verified map[string]os.FileInfo // files whose checksum was verified, by digest
}

// sidecar is the JSON object in DIGEST.json.
type sidecar struct {
	Version int    `json:"version"` // store.FormatVersion
	Digest  string `json:"digest"`  // name of the model file in the cache
	Size    int64  `json:"size"`    // bytes of the model file
	SHA256  string `json:"sha256"`  // of the model file, 64 hex digits
}

// OpenFiles opens the file cache in cacheDir and creates its directory if necessary. Close frees the handle on it.
func OpenFiles(cacheDir string, o Options) (*Files, error) {
	dir, err := makeDir(cacheDir, "files")
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache directory: %w", err)
	}
	removeStaleTemps(root)
	return &Files{dir: dir, root: root, options: o, verified: map[string]os.FileInfo{}}, nil
}

// Close frees the handle on the directory. Paths that Path and Create returned stay valid.
func (f *Files) Close() error { return f.root.Close() }

// checkDigest returns an error unless digest is safe as a file name.
func checkDigest(digest string) error {
	if len(digest) < 16 || len(digest) > 128 || strings.Trim(digest, "0123456789abcdef") != "" {
		return fmt.Errorf("file digest %.140q is not 16 to 128 lower-case hex digits", digest)
	}
	return nil
}

// Path returns the absolute path of the file for digest. ok is false if there is no valid file. Path checks the size
// every time, and the sha256 once per process and after each change of the file. It deletes and counts a damaged file.
func (f *Files) Path(ctx context.Context, digest string) (path string, ok bool, err error) {
	if err := errors.Join(checkDigest(digest), ctx.Err()); err != nil {
		return "", false, err
	}
	err = f.verify(ctx, digest)
	switch {
	case err == nil:
		now := time.Now()
		if err := f.root.Chtimes(digest+sidecarExt, now, now); err != nil {
			f.options.Log.Debug("cached model not marked as used", "digest", digest, "error", err)
		}
		f.options.Hooks.Hit(filesName, kindFile)
		return filepath.Join(f.dir, digest+modelExt), true, nil
	case errors.Is(err, fs.ErrNotExist):
		f.options.Hooks.Miss(filesName, kindFile)
		return "", false, nil
	case ctx.Err() != nil:
		return "", false, ctx.Err()
	case unreadable(err):
		return "", false, fmt.Errorf("check cached model %s: %w", digest, err)
	}
	f.options.Hooks.Corrupt(filesName, kindFile)
	f.options.Log.Warn("corrupt cached model deleted", "digest", digest, "error", err)
	return "", false, f.remove(digest)
}

// verify returns an error if the file does not match its sidecar.
func (f *Files) verify(ctx context.Context, digest string) error {
	want, err := f.readSidecar(digest)
	if err != nil {
		return err
	}
	model, info, err := openRegular(f.root, digest+modelExt)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("sidecar without a model file")
	}
	if err != nil {
		return err
	}
	defer model.Close()
	if info.Size() != want.Size {
		return fmt.Errorf("model file has %d bytes instead of %d", info.Size(), want.Size)
	}
	f.mu.Lock()
	known := f.verified[digest]
	f.mu.Unlock()
	if known != nil && os.SameFile(known, info) && known.ModTime().Equal(info.ModTime()) && known.Size() == info.Size() {
		return nil
	}
	sum, err := hashFile(ctx, model)
	if err != nil {
		return err
	}
	if sum != want.SHA256 {
		return errors.New("model file does not match its sha256")
	}
	f.remember(digest, info)
	return nil
}

func (f *Files) remember(digest string, info os.FileInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verified[digest] = info
}

func (f *Files) readSidecar(digest string) (sidecar, error) {
	file, info, err := openRegular(f.root, digest+sidecarExt)
	if err != nil {
		return sidecar{}, err
	}
	defer file.Close()
	if info.Size() > maxSidecarBytes {
		return sidecar{}, fmt.Errorf("sidecar has %d bytes; the limit is %d", info.Size(), maxSidecarBytes)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSidecarBytes))
	if err != nil {
		return sidecar{}, err
	}
	return decodeSidecar(data, digest)
}

// decodeSidecar decodes a sidecar and checks every field.
func decodeSidecar(data []byte, digest string) (sidecar, error) {
	var s sidecar
	if err := json.Unmarshal(data, &s); err != nil {
		return sidecar{}, fmt.Errorf("sidecar is not valid: %w", err)
	}
	switch {
	case s.Version != store.FormatVersion:
		return sidecar{}, fmt.Errorf("sidecar has format version %d instead of %d", s.Version, store.FormatVersion)
	case s.Digest != digest:
		return sidecar{}, fmt.Errorf("sidecar is for digest %.140q", s.Digest)
	case s.Size < 0:
		return sidecar{}, fmt.Errorf("sidecar size is %d", s.Size)
	case len(s.SHA256) != 2*sha256.Size || strings.Trim(s.SHA256, "0123456789abcdef") != "":
		return sidecar{}, errors.New("sidecar sha256 is not 64 hex digits")
	}
	return s, nil
}

// Create returns the path of the file for digest. If there is none yet, it calls write with the path of an empty file,
// which write must fill or replace. Create renames the file after write returns nil. Other processes that need the same
// digest wait for the writer and use its file.
func (f *Files) Create(ctx context.Context, digest string, write func(tempPath string) error) (string, error) {
	if err := errors.Join(checkDigest(digest), ctx.Err()); err != nil {
		return "", err
	}
	lock := newLock(filepath.Join(f.dir, digest+".lock"))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return "", fmt.Errorf("lock cached model %s: %w", digest, err)
	}
	defer lock.Close()
	if path, ok, err := f.Path(ctx, digest); ok || err != nil {
		return path, err
	}
	// An existing temporary file is from a dead process, because this process holds the lock.
	temp := "." + digest + tempExt
	if err := f.root.RemoveAll(temp); err != nil {
		return "", fmt.Errorf("assemble model %s: %w", digest, err)
	}
	defer func() { _ = f.root.RemoveAll(temp) }() // after success it no longer exists
	if err := f.fill(ctx, digest, temp, write); err != nil {
		return "", fmt.Errorf("assemble model %s: %w", digest, err)
	}
	if f.options.LimitBytes > 0 {
		f.enforceLimit(digest)
	}
	return filepath.Join(f.dir, digest+modelExt), nil
}

// fill calls write to make the temporary file. Then it computes the checksum, syncs and renames the file and writes the
// sidecar.
func (f *Files) fill(ctx context.Context, digest, temp string, write func(tempPath string) error) error {
	empty, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if err := errors.Join(empty.Close(), write(filepath.Join(f.dir, temp)), ctx.Err()); err != nil {
		return err
	}
	model, info, err := openRegular(f.root, temp)
	if err != nil {
		return err
	}
	defer model.Close()
	sum, err := hashFile(ctx, model)
	if err != nil {
		return err
	}
	if err := errors.Join(model.Chmod(fileMode), model.Sync()); err != nil {
		return err
	}
	// Remove an old sidecar, which would describe the new file wrongly. An old file without a sidecar does no harm.
	if err := f.root.RemoveAll(digest + sidecarExt); err != nil {
		return err
	}
	if err := f.root.Rename(temp, digest+modelExt); err != nil {
		return err
	}
	side := sidecar{Version: store.FormatVersion, Digest: digest, Size: info.Size(), SHA256: sum}
	data, err := json.Marshal(side)
	if err != nil {
		return err
	}
	err = renameio.WriteFile(digest+sidecarExt, data, fileMode, renameio.WithRoot(f.root), renameio.WithStaticPermissions(fileMode))
	if err != nil {
		return err
	}
	f.remember(digest, info)
	return syncDir(f.root, ".")
}

// Remove deletes the file for digest. It returns nil if there is none. Processes that have the file open can read it
// until they close it.
func (f *Files) Remove(ctx context.Context, digest string) error {
	if err := errors.Join(checkDigest(digest), ctx.Err()); err != nil {
		return err
	}
	return f.remove(digest)
}

// remove deletes the sidecar first, so that an incomplete file never looks valid.
func (f *Files) remove(digest string) error {
	f.mu.Lock()
	delete(f.verified, digest)
	f.mu.Unlock()
	for _, name := range []string{digest + sidecarExt, digest + modelExt} {
		if err := f.root.RemoveAll(name); err != nil {
			return fmt.Errorf("remove cached model: %w", err)
		}
	}
	return nil
}

// enforceLimit evicts the least recently used models until the limit holds. The time of a sidecar is the last use of
// its model.
func (f *Files) enforceLimit(keep string) {
	files := usedFiles(f.root, func(name string) bool { return strings.HasSuffix(name, sidecarExt) })
	models := files[:0]
	for _, side := range files {
		digest := strings.TrimSuffix(side.name, sidecarExt)
		if info, err := f.root.Lstat(digest + modelExt); err == nil && checkDigest(digest) == nil {
			models = append(models, usedFile{name: digest, sizeBytes: info.Size(), used: side.used})
		}
	}
	for _, model := range chooseEvicted(models, f.options.LimitBytes, keep) {
		if err := f.remove(model.name); err != nil {
			f.options.Log.Warn("cached model not evicted", "digest", model.name, "error", err)
			continue
		}
		f.options.Log.Info("cached model evicted", "digest", model.name, "size_bytes", model.sizeBytes)
	}
}

func hashFile(ctx context.Context, r io.Reader) (string, error) {
	hash := sha256.New()
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if _, err := io.CopyN(hash, r, hashBlockBytes); errors.Is(err, io.EOF) {
			return hex.EncodeToString(hash.Sum(nil)), nil
		} else if err != nil {
			return "", err
		}
	}
}
