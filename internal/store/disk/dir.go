package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/trust"
)

// makeDir creates cacheDir/v1/name and returns its absolute path. New directories have mode 0700. v1 and name must be directories
// and not links; cacheDir itself may be a link. The process computes with the values and loads the variants, so makeDir returns an
// error if other users can change any of them (package trust).
func makeDir(cacheDir, name string) (string, error) {
	if cacheDir == "" {
		return "", errors.New("cache directory is not set")
	}
	dir, err := filepath.Abs(cacheDir)
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return "", fmt.Errorf("make cache directory %s: %w", cacheDir, err)
	}
	for _, part := range []string{fmt.Sprintf("v%d", store.FormatVersion), name} {
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make cache directory %s: %w", cacheDir, err)
		}
		info, err := os.Lstat(dir)
		if err != nil {
			return "", fmt.Errorf("cache directory: %w", err)
		}
		if !info.IsDir() {
			return "", fmt.Errorf("cache directory %s is not a directory", dir)
		}
	}
	if _, err := trust.Tree(dir); err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	return dir, nil
}

// syncDir makes a rename in the directory durable. It ignores EINVAL, which some file systems return because they
// cannot sync directories.
func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// removeStaleTemps deletes the temporary files of dead processes. These are top-level names that begin with a dot. It
// keeps files younger than staleTemp, which may belong to a live process.
func removeStaleTemps(root *os.Root) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return // costs only disk space
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > staleTemp {
			_ = root.RemoveAll(entry.Name()) // if this fails, the next start tries again
		}
	}
}

// openRegular opens a regular file for reading. It does not follow links and does not block on pipes.
func openRegular(root *os.Root, name string) (*os.File, os.FileInfo, error) {
	// os.Root follows links that stay inside it, no matter which flags are set, so Lstat checks the name first. A
	// process that can swap the file in between could also write it.
	info, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is a %s but must be a regular file", name, info.Mode().Type())
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, nil, errors.Join(err, file.Close(), fmt.Errorf("%s is not a regular file", name))
	}
	return file, info, nil
}

// unreadable reports whether an error comes from the system. Any other error means that the content of the file is not
// valid.
func unreadable(err error) bool {
	var system *fs.PathError
	return errors.As(err, &system)
}
