//go:build unix && !linux

package trust

// readOnly is not asked of this system.
func readOnly(string) bool { return false }

// podOnly is Linux's alone.
func podOnly(string) bool { return false }

// accessList is not asked of this system.
func accessList(string) (users, groups []uint32) { return nil, nil }
