// Package exact has code that the writers of both formats share. It checks that a tensor has exactly the bytes of its shape, and
// writes files atomically.
package exact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Tensor calls write and returns an error unless it writes exactly size bytes to w.
func Tensor(ctx context.Context, w io.Writer, size int64, write func(ctx context.Context, w io.Writer) error) error {
	limited := &writer{w: w, left: size}
	if err := write(ctx, limited); err != nil {
		return err
	}
	if limited.left != 0 {
		return fmt.Errorf("%d bytes were written instead of %d", size-limited.left, size)
	}
	return nil
}

// writer returns an error for bytes beyond those of its tensor.
type writer struct {
	w    io.Writer
	left int64
}

func (e *writer) Write(b []byte) (int, error) {
	if int64(len(b)) > e.left {
		return 0, fmt.Errorf("%d bytes beyond the tensor's size", int64(len(b))-e.left)
	}
	n, err := e.w.Write(b)
	e.left -= int64(n)
	return n, err
}

// File writes a file atomically: path has either its earlier content or all output of write. When File returns nil, the output
// is on stable storage.
func File(path string, write func(w io.Writer) error) error {
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	if err = write(file); err == nil {
		err = file.CloseAtomicallyReplace()
	}
	if err != nil {
		cleanup := file.Cleanup()
		if errors.Is(cleanup, os.ErrClosed) {
			cleanup = nil
		}
		return errors.Join(err, cleanup)
	}
	return nil
}
