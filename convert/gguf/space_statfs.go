//go:build linux || darwin

package gguf

import (
	"fmt"
	"syscall"
)

// checkSpace fails when the file system of dir has visibly fewer than size bytes free, so that a full disk is told
// before minutes of work and not after. A file system that does not tell is given the benefit of the doubt.
func checkSpace(dir string, size int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Blocks == 0 || fs.Bsize <= 0 {
		return nil //nolint:nilerr // nothing is known, so nothing is refused
	}
	free := fs.Bavail * uint64(fs.Bsize)
	if free < uint64(size) {
		return fmt.Errorf("%w: the file needs %d MiB in %s, %d MiB are free", syscall.ENOSPC, size>>20+1, dir, free>>20)
	}
	return nil
}
