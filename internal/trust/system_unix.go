//go:build unix

package trust

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
)

// newWalk returns a walk for this process's user.
func newWalk() *walk {
	files := sync.OnceValue(func() databases { // read on demand, because most walks find no group that may write
		read := func(path string) string {
			data, _ := os.ReadFile(path) // without the file, no members are known
			return string(data)
		}
		return databases{passwd: read("/etc/passwd"), group: read("/etc/group"), nsswitch: read("/etc/nsswitch.conf")}
	})
	u := user{uid: uint32(os.Geteuid())}
	u.alone = func(gid uint32) bool { return files().alone(u.uid, gid) }
	u.name = func(uid uint32) string {
		return strings.TrimSpace(fmt.Sprintf("uid %d %s", uid, brackets(files().userName(uid))))
	}
	if root, err := lstat("/"); err == nil {
		u.system = root.uid
	}
	return &walk{user: u, enforced: true, lstat: lstat, readOnly: readOnly, podOnly: podOnly}
}

func brackets(name string) string {
	if name == "" {
		return ""
	}
	return "(" + name + ")"
}

// lstat returns the description of an entry. It reads the access list only if the group's bits, which are the list's mask, permit
// writing.
func lstat(path string) (node, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return node{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return node{}, fmt.Errorf("owner of %q is unknown", path)
	}
	n := node{path: path, mode: info.Mode(), uid: stat.Uid, gid: stat.Gid}
	if n.mode&groupWrite != 0 && n.mode&fs.ModeSymlink == 0 {
		n.users, n.groups = accessList(path)
	}
	return n, nil
}
