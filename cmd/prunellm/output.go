package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// checkOutput refuses, before anything is computed, a path where no result can be put: files are written beside their
// place and renamed, which would replace a device or a pipe of that name by a file.
func checkOutput(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return usageError{fmt.Errorf("output %q is there and is not a regular file: name another one", path)}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("output: %w", err)
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
