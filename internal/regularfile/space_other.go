//go:build !linux && !darwin

package regularfile

// FreeSpace cannot be asked of this system.
func FreeSpace(string) (bytes int64, known bool) { return 0, false }
