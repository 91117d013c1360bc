package machine

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The versions of control groups.
const (
	v1 = 1
	v2 = 2
)

// group is a control group's folder, without the leading slash.
type group struct {
	dir     string
	version int
}

// groups returns the groups of a controller ("memory", "cpu") that contain this process, from its own up to the mount's
// root.
func (s system) groups(controller string) []group {
	own, mounts := s.read("proc/self/cgroup"), s.read("proc/self/mountinfo")
	var all []group
	for _, m := range mountsOf(mounts, controller) {
		for dir := path.Join(m.point, below(m, groupPath(own, controller, m.version))); ; dir = path.Dir(dir) {
			all = append(all, group{dir: strings.TrimPrefix(dir, "/"), version: m.version})
			if dir == m.point || dir == "/" {
				break
			}
		}
	}
	return all
}

// groupPath returns the path of this process's group in a hierarchy, from /proc/self/cgroup: "4:memory,other:/path",
// and "0::/path" for version 2. It returns "" if there is none.
func groupPath(own, controller string, version int) string {
	for line := range strings.Lines(own) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if version == v2 && fields[0] == "0" && fields[1] == "" ||
			version == v1 && slices.Contains(strings.Split(fields[1], ","), controller) {
			return fields[2]
		}
	}
	return ""
}

// mount is a folder where a hierarchy, or its part below root, is visible.
type mount struct {
	root, point string
	version     int
}

// mountsOf finds hierarchies in the text of /proc/self/mountinfo (proc(5)): "36 35 0:30 /root /point options... - type source
// options".
func mountsOf(mounts, controller string) []mount {
	var found []mount
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		m := mount{root: unescape(fields[3]), point: path.Clean(unescape(fields[4]))}
		switch {
		case kind[0] == "cgroup2":
			m.version = v2
		case kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), controller):
			m.version = v1
		default:
			continue
		}
		found = append(found, m)
	}
	return found
}

// below returns a group's path relative to the mount's root. A group outside the root counts as the root itself. In a container the
// group may have the host's path, or one with "..", although the container sees nothing above its own group.
func below(m mount, groupPath string) string {
	rest, ok := strings.CutPrefix(groupPath, strings.TrimSuffix(m.root, "/"))
	if !ok || rest != "" && rest[0] != '/' || slices.Contains(strings.Split(rest, "/"), "..") {
		return "/"
	}
	return rest
}

// unescape decodes the characters that mountinfo writes as \040.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+4 <= len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// read returns a file's text, or "" if it does not exist.
func (s system) read(name string) string {
	data, _ := fs.ReadFile(s.files, name)
	return string(data)
}
