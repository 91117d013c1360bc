// Package regularfile opens files whose paths come from outside: only regular files of bounded size, and no Git LFS pointers. It
// also reports free disk space.
//
// Opening a named pipe would block, and a device may never end. For a file that is too large, the package returns an error before
// it reads the file.
package regularfile

import (
	"fmt"
	"io"
	"os"
)

// Open opens the regular file at path, of at most maxBytes, and returns its size in bytes. The caller closes it.
func Open(path string, maxBytes int64) (file *os.File, sizeBytes int64, err error) {
	info, err := os.Stat(path) // before opening, because opening a pipe waits for its writer
	if err == nil {
		err = check(path, info, maxBytes)
	}
	if err != nil {
		return nil, 0, err
	}
	if file, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err == nil { // the path may refer to another file by now
		err = check(path, info, maxBytes)
	}
	if err == nil {
		err = checkPointer(path, file, info.Size())
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, 0, err
	}
	return file, info.Size(), nil
}

func check(path string, info os.FileInfo, maxBytes int64) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a regular file", path)
	}
	if info.Size() > maxBytes {
		return fmt.Errorf("%q has %d bytes; the limit is %d", path, info.Size(), maxBytes)
	}
	return nil
}

// Read returns the content of a regular file of at most maxBytes.
func Read(path string, maxBytes int64) ([]byte, error) {
	file, size, err := Open(path, maxBytes)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return data, nil
}
