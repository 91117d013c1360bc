// Package trust decides whether anybody but this user and root can change what a path leads to.
//
// Code that is loaded into the process, cached values, models that nobody named and files with settings or keys come from
// such paths alone. The package neither opens nor repairs anything.
//
// # The rule
//
// A path is walked from the root folder down, each symbolic link followed and its own folder checked too. Every folder and
// file on the way must belong to this user, to root, or to the owner of the root folder (in a user namespace that does not
// know root, the system belongs to somebody else), and only those may write it. Five things are allowed beside that:
//
//   - A sticky folder that all may write, as /tmp, on the way to an entry of a trusted owner: others cannot replace it there.
//   - A group that may write, when it is root's, or when this user is its only member (see members): user-private groups,
//     the group 0 of containers that run as any user, a volume's group in Kubernetes.
//   - A read-only mount other than FUSE: nobody writes through it, and only root can have mounted it.
//   - An emptyDir volume of Kubernetes, which all may write: it lies in a folder of the kubelet's that only root can enter.
//   - A file descriptor of this process (/dev/fd/N): whoever started the process opened it.
//
// # Races
//
// The walk goes downwards, so each entry is looked at in a folder that was already found to be safe; what it found stays
// true for as long as trusted users leave it. Open the path that Resolve returns, without links.
//
// # Other systems
//
// On Windows, whose files have no such owners, every path is trusted.
package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Error tells why a path is not trusted, and what to run to change that. Its message is one line.
type Error struct {
	Path   string // the file, folder or link that others can change, which may lie above the one that was asked for
	Reason string // goes on after the path: "belongs to uid 65534 (nobody)"
	Fix    string // the command
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%q %s, so others could change what is read from there: run '%s' if its contents can be trusted, or use another path",
		e.Path, e.Reason, e.Fix)
}

// Resolve returns the absolute path without symbolic links of what path leads to. It is an *Error when others can change
// it, and wraps fs.ErrNotExist when it is not there.
func Resolve(path string) (string, error) { return newWalk().resolve(path) }

// Tree is Resolve for a folder and all that lies in it: links in it are resolved, not entered.
func Tree(folder string) (string, error) {
	w := newWalk()
	resolved, err := w.resolve(folder)
	if err != nil {
		return "", err
	}
	return resolved, filepath.WalkDir(resolved, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || path == resolved {
			return nil // another process of this user cleaned up
		}
		if err != nil {
			return err
		}
		if entry.Type()&fs.ModeSymlink != 0 {
			_, err = w.resolve(path)
		} else {
			err = w.check(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// MakeTree is Tree for a folder that is made, for this user alone, where it is not there.
func MakeTree(folder string) (string, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	return Tree(folder)
}

// Readable reports whether users other than this one and root can read the file at path: by its own mode and that of all
// folders above. The error is Resolve's.
func Readable(path string) (bool, error) {
	w := newWalk()
	resolved, err := w.resolve(path)
	if err != nil {
		return false, err
	}
	return w.readable(resolved)
}
