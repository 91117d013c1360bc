package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// On SIGHUP the server reads the key file again: it accepts new keys and refuses removed ones. A file without keys changes
// nothing.
func TestKeysReloadOnHangup(t *testing.T) {
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old\n")
	s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", t.TempDir(), "--api-key-file", keys)
	s.WaitReady(program.WarmLimit)
	status := func(key string) int {
		request, err := http.NewRequest(http.MethodGet, s.Base+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if old, other := status("old"), status("new"); old != http.StatusOK || other != http.StatusUnauthorized {
		t.Fatalf("old key %d, new key %d before it is added", old, other)
	}
	write("new\n")
	if err := s.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("the new key is accepted", time.Minute, func() bool { return status("new") == http.StatusOK })
	if got := status("old"); got != http.StatusUnauthorized {
		t.Errorf("the old key = %d, want 401", got)
	}
	write("# none\n")
	if err := s.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("the log reports that the file has no keys", time.Minute, func() bool { return strings.Contains(s.Stderr.String(), "has no keys") })
	if got := status("new"); got != http.StatusOK {
		t.Errorf("the new key after a bad file = %d, want 200", got)
	}
	if log := s.Stderr.String(); strings.Contains(log, "=new") || strings.Contains(log, "Bearer") {
		t.Errorf("the log contains a key:\n%s", log)
	}
	s.Stop()
}
