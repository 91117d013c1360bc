package trust

import (
	"encoding/binary"
	"os"
	"strings"
	"syscall"
)

const (
	readOnlyMount = 0x1        // ST_RDONLY of statfs(2)
	fuse          = 0x65735546 // a file system that any user can mount
)

// readOnly reports whether the mount of path is read-only and was made by root.
func readOnly(path string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(path, &s) == nil && s.Flags&readOnlyMount != 0 && s.Type != fuse
}

// podOnly reports whether path is on an emptyDir volume.
func podOnly(path string) bool {
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // without this file no volume is known
	return onEmptyDir(string(mounts), path)
}

// onEmptyDir reports whether the mount of path in the text of /proc/self/mountinfo (proc(5)) is an emptyDir: "36 35 98:0 /root
// /point options ...". The last of several mounts at one point counts.
func onEmptyDir(mounts, path string) bool {
	longest, found := -1, false
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		root, point := fields[3], fields[4]
		if len(point) >= longest && (point == "/" || path == point || strings.HasPrefix(path, point+"/")) {
			longest, found = len(point), strings.Contains(root, "/volumes/kubernetes.io~empty-dir/")
		}
	}
	return found
}

// maxAccessList bounds the bytes of an access list. Linux allows 64 KiB for any attribute.
const maxAccessList = 64 << 10

// accessList returns the users and groups that the entry's access list permits to write.
func accessList(path string) (users, groups []uint32) {
	list := make([]byte, maxAccessList)
	n, err := syscall.Getxattr(path, "system.posix_acl_access", list)
	if err != nil {
		return nil, nil // no access list
	}
	return parseAccessList(list[:n])
}

// parseAccessList parses Linux's form of an access list: a version, then a tag, permissions and an id per entry. The
// caller has checked the mask.
func parseAccessList(list []byte) (users, groups []uint32) {
	const (
		header, entry        = 4, 8
		namedUser            = 0x02
		owningGroup          = 0x04
		namedGroup           = 0x08
		write         uint16 = 2
	)
	for at := header; at+entry <= len(list); at += entry {
		tag, permissions := binary.LittleEndian.Uint16(list[at:]), binary.LittleEndian.Uint16(list[at+2:])
		id := binary.LittleEndian.Uint32(list[at+4:])
		switch {
		case permissions&write == 0 || tag == owningGroup: // the mode has the owning group's permissions
		case tag == namedUser:
			users = append(users, id)
		case tag == namedGroup:
			groups = append(groups, id)
		}
	}
	return users, groups
}
