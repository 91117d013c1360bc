//go:build linux

package trust

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// asRoot skips tests that create files of other users, unless they run as root.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can create files of other users")
	}
}

func write(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func change(t *testing.T, path string, uid int, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.Lchown(path, uid, -1), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, path, at string) {
	t.Helper()
	_, err := Resolve(path)
	var fault *Error
	if !errors.As(err, &fault) || fault.Path != at {
		t.Errorf("Resolve(%q) = %v, want an error about %q", path, err, at)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %q", err)
	}
}

func TestResolveOwn(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "a", "file"))
	link := filepath.Join(dir, "link")
	if err := os.Symlink("a/../a/file", link); err != nil {
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		if got, err := Resolve(p); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", p, got, err, want)
		}
	}
	if _, err := Resolve(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Resolve of nothing = %v, want fs.ErrNotExist", err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(loop); err == nil {
		t.Error("Resolve of a loop of links reports no error")
	}
}

func TestResolveOfOthers(t *testing.T) {
	asRoot(t)
	t.Run("file", func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "file"))
		change(t, path, nobody, 0o644)
		refused(t, path, path)
	})
	t.Run("folder above", func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "a", "b", "file"))
		above := filepath.Dir(filepath.Dir(path))
		change(t, above, nobody, 0o755)
		refused(t, path, above)
	})
	t.Run("folder that all may write", func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "a", "file"))
		change(t, filepath.Dir(path), 0, 0o777)
		refused(t, path, filepath.Dir(path))
	})
	t.Run("folder of a link", func(t *testing.T) {
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, "safe", "file"))
		link := filepath.Join(dir, "open", "link")
		if err := errors.Join(os.Mkdir(filepath.Dir(link), 0o755), os.Symlink(path, link)); err != nil {
			t.Fatal(err)
		}
		change(t, filepath.Dir(link), nobody, 0o755)
		refused(t, link, filepath.Dir(link))
	})
	t.Run("target of a link", func(t *testing.T) {
		dir := t.TempDir()
		path, link := write(t, filepath.Join(dir, "theirs", "file")), filepath.Join(dir, "link")
		if err := os.Symlink("theirs/file", link); err != nil {
			t.Fatal(err)
		}
		change(t, filepath.Dir(path), nobody, 0o755)
		refused(t, link, filepath.Dir(path))
	})
	t.Run("link in a sticky folder", func(t *testing.T) {
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, "safe", "file"))
		sticky := filepath.Join(dir, "sticky")
		link := filepath.Join(sticky, "link")
		if err := errors.Join(os.Mkdir(sticky, 0o755), os.Symlink(path, link), os.Lchown(link, nobody, -1)); err != nil {
			t.Fatal(err)
		}
		change(t, sticky, 0, fs.ModeSticky|0o777)
		refused(t, link, link)
	})
}

func TestDescriptor(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := os.Lstat("/proc/self/fd"); err != nil {
		t.Skip("this system has no /proc")
	}
	path := filepath.Join("/proc/self/fd", number(uint32(r.Fd())))
	if _, err := Resolve(path); err != nil {
		t.Errorf("Resolve(%q) = %v", path, err)
	}
}

func TestTree(t *testing.T) {
	asRoot(t)
	dir := t.TempDir()
	inside := write(t, filepath.Join(dir, "a", "b", "file"))
	if _, err := Tree(dir); err != nil {
		t.Fatalf("Tree = %v", err)
	}
	var fault *Error
	change(t, inside, nobody, 0o644)
	if _, err := Tree(dir); !errors.As(err, &fault) || fault.Path != inside {
		t.Errorf("Tree with a file of another user = %v", err)
	}
	change(t, inside, 0, 0o644)
	outside := write(t, filepath.Join(t.TempDir(), "outside"))
	if err := os.Symlink(outside, filepath.Join(dir, "a", "link")); err != nil {
		t.Fatal(err)
	}
	change(t, outside, nobody, 0o644)
	if _, err := Tree(dir); !errors.As(err, &fault) || fault.Path != outside {
		t.Errorf("Tree with a link to another user's file = %v", err)
	}
}

func TestReadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the testing package creates it with mode 0700
		t.Fatal(err)
	}
	path := write(t, filepath.Join(dir, "a", "file"))
	for _, c := range []struct {
		folder, file fs.FileMode
		want         bool
	}{{0o755, 0o644, true}, {0o755, 0o600, false}, {0o700, 0o644, false}} {
		if err := errors.Join(os.Chmod(filepath.Dir(path), c.folder), os.Chmod(path, c.file)); err != nil {
			t.Fatal(err)
		}
		if got, err := Readable(path); err != nil || got != c.want {
			t.Errorf("Readable with modes %o and %o = %v, %v, want %v", c.folder, c.file, got, err, c.want)
		}
	}
}

func TestReadOnlyMount(t *testing.T) {
	asRoot(t)
	dir := t.TempDir()
	if err := syscall.Mount("prunellm-test", dir, "tmpfs", 0, "mode=0777"); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH) //nolint:errcheck // best effort
	path := write(t, filepath.Join(dir, "file"))
	change(t, path, nobody, 0o666)
	refused(t, path, dir)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot mount read-only here: %v", err)
	}
	if _, err := Resolve(path); err != nil {
		t.Errorf("Resolve on a read-only mount = %v", err)
	}
}

func TestEmptyDir(t *testing.T) {
	const mounts = "1 0 0:1 / / rw - overlay overlay rw\n" +
		"2 1 8:1 /var/lib/kubelet/pods/0a/volumes/kubernetes.io~empty-dir/cache /var/lib/prunellm rw,relatime - ext4 /dev/sda1 rw\n" +
		"3 1 8:1 /data /var/lib/prunellm/host rw,relatime - ext4 /dev/sda1 rw\n"
	for path, want := range map[string]bool{
		"/var/lib/prunellm": true, "/var/lib/prunellm/v1": true, "/var/lib/prunellmx": false, "/": false, "/var/lib/prunellm/host/v1": false,
	} {
		if got := onEmptyDir(mounts, path); got != want {
			t.Errorf("onEmptyDir(%q) = %v, want %v", path, got, want)
		}
	}
	w := newWalk()
	w.user.uid, w.podOnly = me, func(path string) bool { return path == "/cache" }
	w.readOnly = func(string) bool { return false }
	root := node{path: "/", mode: fs.ModeDir | 0o755}
	if err := w.judge(node{path: "/cache", mode: fs.ModeDir | 0o777}, root, false); err != nil {
		t.Errorf("an emptyDir is refused: %v", err)
	}
	if err := w.judge(node{path: "/cache", mode: fs.ModeDir | 0o777, uid: other}, root, false); err == nil {
		t.Error("a folder of another user is trusted on an emptyDir")
	}
}

// accessListEntry is an entry in Linux's form.
func accessListEntry(tag, permissions uint16, id uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, tag), permissions), id)
}

func TestAccessList(t *testing.T) {
	asRoot(t)
	const none = ^uint32(0)
	list := func(permissions uint16) []byte {
		return slices.Concat([]byte{2, 0, 0, 0}, accessListEntry(1, 6, none), accessListEntry(2, permissions, nobody),
			accessListEntry(4, 4, none), accessListEntry(16, 6, none), accessListEntry(32, 4, none))
	}
	path := write(t, filepath.Join(t.TempDir(), "file"))
	if err := syscall.Setxattr(path, "system.posix_acl_access", list(4), 0); err != nil {
		t.Skipf("no access lists here: %v", err)
	}
	if _, err := Resolve(path); err != nil {
		t.Errorf("Resolve of a file that another user may read = %v", err)
	}
	if err := syscall.Setxattr(path, "system.posix_acl_access", list(6), 0); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path)
}
