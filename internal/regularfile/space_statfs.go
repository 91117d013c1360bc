//go:build linux || darwin

package regularfile

import "syscall"

// FreeSpace returns the free bytes of the file system of dir, and reports whether they are known.
func FreeSpace(dir string) (bytes int64, known bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Blocks == 0 || fs.Bsize <= 0 {
		return 0, false
	}
	return int64(min(fs.Bavail, 1<<40) * uint64(fs.Bsize)), true // cannot overflow, because blocks have at most 64 KiB
}
