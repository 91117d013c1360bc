package redistest

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

//go:embed testdata/clock.c
var clockSource []byte

// StartClock starts a server with its own wall clock. While the server runs, set changes the difference to this
// machine's clock: ahead, or behind if below 0. StartClock needs a C compiler, as building the product does.
func StartClock(t testing.TB, args ...string) (server *Server, set func(time.Duration)) {
	t.Helper()
	Require(t)
	dir := t.TempDir()
	source, library, offset := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so"), filepath.Join(dir, "offset")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	set = func(difference time.Duration) {
		t.Helper()
		// Rename the file into place, so that the server never reads a partly written file.
		if err := os.WriteFile(offset+".new", []byte(strconv.Itoa(int(difference.Seconds()))), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(offset+".new", offset); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	env := append(os.Environ(), "LD_PRELOAD="+library, "CLOCK_OFFSET_FILE="+offset)
	return start(t, env, "", append([]string{"--save", "", "--appendonly", "no"}, args...)), set
}
