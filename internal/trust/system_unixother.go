//go:build unix && !linux

package trust

// readOnly is not implemented on this system.
func readOnly(string) bool { return false }

// podOnly exists only on Linux.
func podOnly(string) bool { return false }

// accessList is not implemented on this system.
func accessList(string) (users, groups []uint32) { return nil, nil }
