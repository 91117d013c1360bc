//go:build !linux && !darwin

package regularfile

// FreeSpace is unknown on this system.
func FreeSpace(string) (bytes int64, known bool) { return 0, false }
