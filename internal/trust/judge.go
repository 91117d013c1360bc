package trust

import (
	"fmt"
	"io/fs"
	"slices"
)

// node is a file, folder or link as the system describes it.
type node struct {
	path     string
	mode     fs.FileMode
	uid, gid uint32
	users    []uint32 // that an access list lets write, beside owner and group
	groups   []uint32
}

// user is who runs this process, and whom it trusts.
type user struct {
	uid    uint32
	system uint32                  // owner of the root folder
	alone  func(gid uint32) bool   // reports whether a group has no member but this user and root
	name   func(uid uint32) string // for people
}

const (
	groupWrite fs.FileMode = 0o020
	otherWrite fs.FileMode = 0o002
)

func (u user) trusts(uid uint32) bool { return uid == u.uid || uid == 0 || uid == u.system }

// shared reports whether users who are not trusted may make entries in a folder, which its sticky bit keeps from each other.
func (u user) shared(n node) bool {
	return n.mode.IsDir() && n.mode&fs.ModeSticky != 0 && u.trusts(n.uid) && u.writers(n) != ""
}

// fault is why n, which lies in parent, is not to be trusted; nil where it is. way tells that n is a folder on the way to
// another entry.
func (u user) fault(n, parent node, way bool) *Error {
	if n.mode&fs.ModeSymlink != 0 {
		if u.shared(parent) && !u.trusts(n.uid) {
			return &Error{Path: n.path, Reason: "is a link that belongs to " + u.name(n.uid), Fix: fmt.Sprintf("rm %s", quote(n.path))}
		}
		return nil // its mode means nothing, and only who writes its folder can change it
	}
	if !u.trusts(n.uid) {
		return &Error{Path: n.path, Reason: "belongs to " + u.name(n.uid), Fix: fmt.Sprintf("chown %s%d %s", recursive(n), u.uid, quote(n.path))}
	}
	writers := u.writers(n)
	if writers == "" || way && u.shared(n) {
		return nil
	}
	fix := "chmod go-w " + quote(n.path)
	if writers == listed {
		fix = "setfacl -b " + quote(n.path)
	}
	return &Error{Path: n.path, Reason: fmt.Sprintf("of %s can be written by %s (mode %s)", u.name(n.uid), writers, n.mode), Fix: fix}
}

// listed is what writers calls those of an access list.
const listed = "users of its access list"

// writers says in words which users who are not trusted may write n; "" for none.
func (u user) writers(n node) string {
	switch {
	case n.mode&fs.ModeDevice != 0: // writing to a device is not what others read from it: /dev/null, a terminal
	case n.mode&otherWrite != 0:
		return "all users"
	case n.mode&groupWrite != 0 && !u.alone(n.gid):
		return fmt.Sprintf("group %d", n.gid)
	case slices.ContainsFunc(n.users, func(uid uint32) bool { return !u.trusts(uid) }),
		slices.ContainsFunc(n.groups, func(gid uint32) bool { return !u.alone(gid) }):
		return listed
	}
	return ""
}

func recursive(n node) string {
	if n.mode.IsDir() {
		return "-R "
	}
	return ""
}

// quote makes a path one word of a shell.
func quote(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("/._-+@%="), r)
	}
	for _, r := range path {
		if !plain(r) {
			return fmt.Sprintf("%q", path)
		}
	}
	return path
}
