package regularfile

import (
	"fmt"
	"io"
	"strings"
)

const (
	// lfsHeader begins a pointer, the file that Git writes in place of one that Git LFS has not downloaded.
	lfsHeader = "version https://git-lfs.github.com/spec/"
	// maxPointerBytes is the maximum size of a pointer, by its specification.
	maxPointerBytes = 1024
)

// checkPointer refuses a Git LFS pointer. Every reader would fail on it with an obscure error, or read it as a text.
func checkPointer(path string, file io.ReaderAt, sizeBytes int64) error {
	if sizeBytes > maxPointerBytes || sizeBytes < int64(len(lfsHeader)) {
		return nil
	}
	head := make([]byte, len(lfsHeader))
	if _, err := file.ReadAt(head, 0); err != nil || !strings.EqualFold(string(head), lfsHeader) {
		return nil //nolint:nilerr // the caller reads the file and returns the error
	}
	return fmt.Errorf("%q is a Git LFS pointer, not the file itself: run 'git lfs pull' in its repository, or download the file", path)
}
