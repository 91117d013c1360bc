package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// checkOutput refuses, before anything is computed, a path where no result can be put: files are written beside their
// place and renamed, which would replace a device, a pipe or a link of that name (/dev/stdout is one) by a file.
func checkOutput(path string) error {
	if err := checkNotStandard(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&os.ModeSymlink != 0:
		return usageError{fmt.Errorf("output %q is a link, which would be replaced: name the file that it leads to", path)}
	case err == nil && !info.Mode().IsRegular():
		return usageError{fmt.Errorf("output %q is there and is not a regular file: name another one", path)}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

// checkNotStandard refuses "-", which elsewhere means standard output and here would name a file.
func checkNotStandard(path string) error {
	if path == "-" {
		return usageError{errors.New(`output "-": results are not written to standard output: name a file ("./-" is one of that name)`)}
	}
	return nil
}

// checkOutputFolder is checkOutput for those that do not make the folder of their output.
func checkOutputFolder(path string) error {
	if err := checkOutput(path); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("output %q: there is no folder %q", path, folder)}
	}
	return nil
}

// copyFile copies source to target atomically.
func copyFile(source, target string) error {
	from, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("read variant: %w", err)
	}
	defer from.Close()
	return writeFile(target, func(to io.Writer) error {
		_, err := io.Copy(to, from)
		return err
	})
}

// writeFile writes a file atomically.
func writeFile(path string, write func(io.Writer) error) error {
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
