package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSecretsAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n one \n\ntwo\n")
	flags := frontFlags{APIKeyFile: path}
	s, err := flags.openSecrets(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	keys := s.apiKeys()
	if got := keys(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("keys = %q", got)
	}
	write("three\n")
	if err := s.read(); err != nil || !slices.Equal(keys(), []string{"three"}) {
		t.Errorf("keys read again = %q, %v", keys(), err)
	}
	write("\n# nothing\n")
	if err := s.read(); err == nil || !slices.Equal(keys(), []string{"three"}) {
		t.Errorf("keys of an empty file = %q, %v, want the old ones and an error", keys(), err)
	}
	if (&secrets{}).apiKeys() != nil || (&secrets{}).tls() != nil {
		t.Error("no files give keys or TLS")
	}
}

func TestFrontFlags(t *testing.T) {
	faults := (&frontFlags{Addr: "0.0.0.0:1", TLSCert: "a", RateLimit: -1, OTLPEndpoint: "localhost:4318"}).Validate()
	for _, want := range []string{"--addr", "--tls-cert", "--rate-limit", "--otlp-endpoint"} {
		if faults == nil || !strings.Contains(faults.Error(), want) {
			t.Errorf("faults = %v, want one of %s", faults, want)
		}
	}
	if err := (&frontFlags{Addr: "127.0.0.1:0", TLSCert: "a", TLSKey: "b", OTLPEndpoint: "http://127.0.0.1:4318"}).Validate(); err != nil {
		t.Error(err)
	}
	if _, err := (&frontFlags{TLSCert: "/nowhere.pem", TLSKey: "/nowhere.key"}).openSecrets(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "/nowhere.pem") {
		t.Errorf("a missing certificate = %v", err)
	}
}
