// Package outfile checks the paths of results before anything is computed, and writes results atomically.
//
// # Errors
//
// If no result can be written to a path, the error is a *PathError: the user must name another path.
package outfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// PathError reports a path to which no result can be written.
type PathError struct{ error }

// Unwrap returns the reason.
func (e *PathError) Unwrap() error { return e.error }

// Check refuses a path to which no result can be written. Write renames a temporary file, which would replace a device, a pipe
// or a link such as /dev/stdout by a file.
func Check(path string) error {
	if err := CheckNotStandard(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&os.ModeSymlink != 0:
		return &PathError{fmt.Errorf("output %q is a link, which would be replaced: name the link's target", path)}
	case err == nil && !info.Mode().IsRegular():
		return &PathError{fmt.Errorf("output %q exists and is not a regular file: name another one", path)}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

// CheckNotStandard refuses "-", which means standard output in other programs but would be a file here.
func CheckNotStandard(path string) error {
	if path == "-" {
		return &PathError{errors.New(`output "-": cannot write results to standard output: name a file ("./-" is a file of that name)`)}
	}
	return nil
}

// CheckFolder is Check for results whose folder must exist.
func CheckFolder(path string) error {
	if err := Check(path); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return &PathError{fmt.Errorf("output %q: the folder %q does not exist", path, folder)}
	}
	return nil
}

// Copy copies source to target atomically.
func Copy(source, target string) error {
	from, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("read variant: %w", err)
	}
	defer from.Close()
	return Write(target, func(to io.Writer) error {
		_, err := io.Copy(to, from)
		return err
	})
}

// Write writes a file atomically.
func Write(path string, write func(io.Writer) error) error {
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := write(file); err != nil {
		return errors.Join(fmt.Errorf("write %q: %w", path, err), file.Cleanup())
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}
