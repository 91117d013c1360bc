// Package trust decides whether users other than this one and root can change the target of a path.
//
// The process loads code, cached values, default models, settings and keys only from trusted paths. The package neither opens nor
// repairs anything.
//
// # The rule
//
// The package walks a path from the root folder down. It follows each symbolic link, and also checks the folder that contains the
// link. Every folder and file on the way must belong to this user, to root, or to the owner of the root folder. (In a user
// namespace without root, the system belongs to another user.) Only these users may be able to write it. There are five
// exceptions:
//
//   - A world-writable sticky folder such as /tmp, on the way to an entry of a trusted owner: other users cannot replace
//     the entry.
//   - A group that may write, if it is root's or this user is its only member (see members.go): user-private groups, group 0 of
//     containers that run as any user, a volume's group in Kubernetes.
//   - A read-only mount other than FUSE: no user can write through it, and only root can have mounted it.
//   - An emptyDir volume of Kubernetes, which all users may write: it is in a folder of the kubelet that only root can enter.
//   - A file descriptor of this process (/dev/fd/N): the process that started this one opened it.
//
// # Races
//
// The walk checks each entry in a folder that is already known to be safe. Its result stays valid as long as trusted users change
// nothing. Open the path that Resolve returns, without following links.
//
// # Other systems
//
// On Windows files have no such owners, so every path is trusted.
package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Error is the reason why a path is not trusted, with the command that fixes it. Its message is one line.
type Error struct {
	Path   string // the file, folder or link that others can change; it may be above the requested path
	Reason string // the rest of the sentence after the path: "belongs to uid 65534 (nobody)"
	Fix    string // the command that fixes it
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%q %s, so others could change what is read from there: run '%s' if its contents can be trusted, or use another path",
		e.Path, e.Reason, e.Fix)
}

// Resolve returns the absolute path, without symbolic links, of path's target. It returns an *Error if others can
// change the target, and an error that wraps fs.ErrNotExist if it does not exist.
func Resolve(path string) (string, error) { return newWalk().resolve(path) }

// Tree is Resolve for a folder and everything in it. It resolves links in the folder but does not enter them.
func Tree(folder string) (string, error) {
	w := newWalk()
	resolved, err := w.resolve(folder)
	if err != nil {
		return "", err
	}
	return resolved, filepath.WalkDir(resolved, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || path == resolved {
			return nil // another process of this user removed it
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

// MakeTree is Tree for a folder that it creates, for this user only, if it does not exist.
func MakeTree(folder string) (string, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	return Tree(folder)
}

// Readable reports whether users other than this one and root can read the file at path, by its own mode and the modes
// of all folders above. Errors are those of Resolve.
func Readable(path string) (bool, error) {
	w := newWalk()
	resolved, err := w.resolve(path)
	if err != nil {
		return false, err
	}
	return w.readable(resolved)
}
