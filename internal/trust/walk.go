package trust

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxLinks bounds the symbolic links of one path, as Linux does.
const maxLinks = 40

// descriptors matches the folder of a process's open files. Its entries are links to files or to objects without a path.
var descriptors = regexp.MustCompile(`^/proc/[0-9]+(/task/[0-9]+)?/fd$`)

// walk queries the system about paths on behalf of one user.
type walk struct {
	user     user
	enforced bool // false if the system has no owners
	lstat    func(path string) (node, error)
	readOnly func(path string) bool // reports whether the file system of path is read-only
	podOnly  func(path string) bool // reports whether only this pod can reach the file system of path
}

// check returns an error if an entry of a safe folder is not trusted.
func (w *walk) check(path string) error {
	if !w.enforced {
		return nil
	}
	parent, err := w.lstat(filepath.Dir(path))
	if err != nil {
		return err
	}
	n, err := w.lstat(path)
	if err != nil {
		return err
	}
	return w.judge(n, parent, false)
}

func (w *walk) judge(n, parent node, way bool) error {
	fault := w.user.fault(n, parent, way)
	if fault == nil {
		return nil
	}
	place := n.path
	if n.mode&fs.ModeSymlink != 0 {
		place = parent.path // the link's own file system, not that of its target
	}
	if w.readOnly(place) || w.user.trusts(n.uid) && w.podOnly(place) {
		return nil
	}
	return fault
}

// resolve follows path link by link.
func (w *walk) resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if !w.enforced {
		return filepath.EvalSymlinks(path)
	}
	here, err := w.lstat("/")
	if err != nil {
		return "", err
	}
	todo := parts(path)
	if err := w.judge(here, here, len(todo) > 0); err != nil {
		return "", err
	}
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		n, err := w.lstat(filepath.Join(here.path, name)) // Join resolves "..", and no links remain here
		if err != nil {
			return "", err
		}
		if err := w.judge(n, here, len(todo) > 0); err != nil {
			return "", err
		}
		if n.mode&fs.ModeSymlink == 0 {
			here = n
			continue
		}
		if descriptors.MatchString(here.path) && len(todo) == 0 {
			return n.path, nil
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%q has more than %d links", path, maxLinks)
		}
		target, err := os.Readlink(n.path)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(target) {
			if here, err = w.lstat("/"); err != nil {
				return "", err
			}
		}
		todo = append(parts(target), todo...)
	}
	return here.path, nil
}

// readable reports whether other users can read a file, by its mode and the modes of the folders above.
func (w *walk) readable(path string) (bool, error) {
	want := fs.FileMode(0o004)
	for {
		n, err := w.lstat(path)
		if err != nil {
			return false, err
		}
		if n.mode&want == 0 && (n.mode&(want<<3) == 0 || w.user.alone(n.gid)) {
			return false, nil
		}
		above := filepath.Dir(path)
		if above == path {
			return w.enforced, nil
		}
		path, want = above, 0o001
	}
}

// parts returns the names along a path.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
