// Package source resolves a model reference to a GGUF file on this machine. A reference is "default", the path of a GGUF
// file, the path of a safetensors folder, or hf:owner/name.
//
// It converts a folder once and keeps the result under CacheDir/models by the digest of the folder's files. It therefore converts
// a changed folder again. It keeps downloads under CacheDir/hub.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"prunellm/convert/hffolder"
	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
	"prunellm/models"
	"prunellm/models/hub"
)

// Options are the options of Resolve.
type Options struct {
	Home     string      // folder of the default model
	CacheDir string      // folder of converted and downloaded models
	Hub      hub.Options // Resolve fills in Dir and Log
	Log      *slog.Logger
}

// Source is a model on this machine.
type Source struct {
	Path   string // of the GGUF file
	Folder string // the safetensors folder from which it was converted, or ""
}

// Resolve returns the model of a reference. It downloads and converts it if necessary.
func Resolve(ctx context.Context, ref string, options Options) (Source, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if strings.HasPrefix(ref, hub.Prefix) {
		return fromHub(ctx, ref, options)
	}
	if info, err := os.Stat(ref); err == nil && info.IsDir() {
		return fromFolder(ctx, ref, options)
	}
	path, err := models.Resolve(ctx, ref, options.Home)
	return Source{Path: path}, err
}

func fromHub(ctx context.Context, text string, options Options) (Source, error) {
	ref, err := hub.ParseRef(text)
	if err != nil {
		return Source{}, err
	}
	options.Hub.Dir, options.Hub.Log = filepath.Join(options.CacheDir, "hub"), options.Log
	if _, err := trust.MakeTree(options.Hub.Dir); err != nil {
		return Source{}, fmt.Errorf("download folder: %w", err)
	}
	client, err := hub.New(options.Hub)
	if err != nil {
		return Source{}, err
	}
	path, folder, err := client.Fetch(ctx, ref)
	if err != nil {
		return Source{}, err
	}
	if folder {
		return fromFolder(ctx, path, options)
	}
	return Source{Path: path}, nil
}

// Limits of the files in a folder's digest.
const (
	maxFiles     = 4096
	maxFileBytes = 1 << 42
	lockPoll     = 200 * time.Millisecond
)

// digested are the extensions of the files that determine a folder's model.
var digested = []string{".safetensors", ".json", ".model", ".jinja"}

// converterVersion changes whenever the same folder converts to other bytes.
const converterVersion = "2"

func fromFolder(ctx context.Context, dir string, options Options) (Source, error) {
	digest, err := folderDigest(ctx, dir)
	if err != nil {
		return Source{}, fmt.Errorf("model folder %q: %w", dir, err)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return Source{}, fmt.Errorf("model folder %q: %w", dir, err)
	}
	// The file's name becomes the model's name for clients.
	home := filepath.Join(options.CacheDir, "models", digest[:32])
	found := Source{Path: filepath.Join(home, filepath.Base(absolute)+".gguf"), Folder: absolute}
	if _, err := trust.MakeTree(home); err != nil {
		return Source{}, fmt.Errorf("folder of converted models: %w", err)
	}
	lock := flock.New(filepath.Join(home, ".lock"))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return Source{}, fmt.Errorf("model folder %q: %w", dir, err)
	}
	defer lock.Unlock() //nolint:errcheck // the end of the process releases it too
	if info, err := os.Stat(found.Path); err == nil && info.Mode().IsRegular() {
		return found, nil
	}
	options.Log.Info("converting safetensors folder", "path", absolute, "gguf", found.Path)
	return found, hffolder.ToGGUF(ctx, absolute, found.Path)
}

// folderDigest returns the SHA-256 of the names and contents of the files that define the model.
func folderDigest(ctx context.Context, dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, entry := range entries {
		if slices.Contains(digested, filepath.Ext(entry.Name())) && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	if !slices.Contains(names, "config.json") {
		return "", errors.New("the folder has no config.json: name a GGUF file or a safetensors folder")
	}
	if len(names) > maxFiles {
		return "", fmt.Errorf("%d files; the limit is %d", len(names), maxFiles)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "v%s\n", converterVersion)
	for _, name := range names {
		if err := digestFile(ctx, hash, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func digestFile(ctx context.Context, into io.Writer, path string) error {
	file, size, err := regularfile.Open(path, maxFileBytes)
	if err != nil {
		return err
	}
	defer file.Close()
	fmt.Fprintf(into, "%q %d\n", filepath.Base(path), size)
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(into, file, min(left, 8<<20))
		if left -= n; err != nil {
			return fmt.Errorf("read %q: %w", path, err)
		}
	}
	return nil
}
