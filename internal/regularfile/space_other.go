//go:build !linux && !darwin

package regularfile

// FreeSpace is not implemented on this system.
func FreeSpace(string) (bytes int64, known bool) { return 0, false }
