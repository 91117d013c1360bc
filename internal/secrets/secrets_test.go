package secrets

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n one \n\ntwo\n")
	s, err := Open(Files{APIKeys: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	keys := s.APIKeys()
	if got := keys(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("keys = %q", got)
	}
	write("three\n")
	if err := s.read(); err != nil || !slices.Equal(keys(), []string{"three"}) {
		t.Errorf("keys read again = %q, %v", keys(), err)
	}
	if key, err := ReadKey(path); err != nil || key != "three" {
		t.Errorf("ReadKey = %q, %v, want the first line", key, err)
	}
	write("\n# nothing\n")
	if err := s.read(); err == nil || !slices.Equal(keys(), []string{"three"}) {
		t.Errorf("keys of an empty file = %q, %v, want the old ones and an error", keys(), err)
	}
	if (&Store{}).APIKeys() != nil || (&Store{}).TLS() != nil {
		t.Error("no files give keys or TLS")
	}
}

func TestMissingCertificate(t *testing.T) {
	_, err := Open(Files{TLSCert: "/nowhere.pem", TLSKey: "/nowhere.key"}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "/nowhere.pem") {
		t.Errorf("a missing certificate = %v", err)
	}
}
