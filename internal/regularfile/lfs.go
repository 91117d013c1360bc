package regularfile

import (
	"fmt"
	"io"
	"strings"
)

const (
	// lfsHeader begins the file that Git leaves in place of one that Git LFS has not downloaded.
	lfsHeader = "version https://git-lfs.github.com/spec/"
	// maxPointerBytes bounds such a file, by its specification.
	maxPointerBytes = 1024
)

// checkPointer refuses a Git LFS pointer: every reader would fail on it with a riddle, or take it for a text.
func checkPointer(path string, file io.ReaderAt, sizeBytes int64) error {
	if sizeBytes > maxPointerBytes || sizeBytes < int64(len(lfsHeader)) {
		return nil
	}
	head := make([]byte, len(lfsHeader))
	if _, err := file.ReadAt(head, 0); err != nil || !strings.EqualFold(string(head), lfsHeader) {
		return nil //nolint:nilerr // the caller reads the file and reports what fails
	}
	return fmt.Errorf("%q is a Git LFS pointer, not the file itself: run 'git lfs pull' in its repository, or download the file", path)
}
