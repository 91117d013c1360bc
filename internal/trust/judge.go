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
	users    []uint32 // users that an access list permits to write, besides owner and group
	groups   []uint32
}

// user describes the user of this process and the users that it trusts.
type user struct {
	uid    uint32
	system uint32                  // owner of the root folder
	alone  func(gid uint32) bool   // reports whether a group has no member but this user and root
	name   func(uid uint32) string // returns a user's name for messages
}

const (
	groupWrite fs.FileMode = 0o020
	otherWrite fs.FileMode = 0o002
)

func (u user) trusts(uid uint32) bool { return uid == u.uid || uid == 0 || uid == u.system }

// shared reports whether n is a folder like /tmp: untrusted users may create entries, but its sticky bit protects the entries of
// others.
func (u user) shared(n node) bool {
	return n.mode.IsDir() && n.mode&fs.ModeSticky != 0 && u.trusts(n.uid) && u.writers(n) != ""
}

// fault returns the reason why n, an entry of parent, is not trusted, or nil. way reports whether n is a folder on the way to
// another entry.
func (u user) fault(n, parent node, way bool) *Error {
	if n.mode&fs.ModeSymlink != 0 {
		if u.shared(parent) && !u.trusts(n.uid) {
			return &Error{Path: n.path, Reason: "is a link that belongs to " + u.name(n.uid), Fix: fmt.Sprintf("rm %s", quote(n.path))}
		}
		return nil // its mode has no effect, and only writers of its folder can change it
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

// listed is the result of writers for users of an access list.
const listed = "users of its access list"

// writers returns a phrase for the untrusted users who may write n, or "" if there are none.
func (u user) writers(n node) string {
	switch {
	case n.mode&fs.ModeDevice != 0: // readers of a device (/dev/null, a terminal) do not receive what others write to it
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

// quote returns a path as one shell word.
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
