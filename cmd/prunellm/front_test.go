package main

import (
	"log/slog"
	"strings"
	"testing"
)

func TestFrontFlags(t *testing.T) {
	faults := (&frontFlags{Addr: "0.0.0.0:1", TLSCert: "a", RateLimit: -1, OTLPEndpoint: "localhost:4318", AllowedOrigins: []string{"app.example"}}).Validate()
	for _, want := range []string{"--addr", "--tls-cert", "--rate-limit", "--otlp-endpoint", `--allowed-origins: allowed origin "app.example"`} {
		if faults == nil || !strings.Contains(faults.Error(), want) {
			t.Errorf("faults = %v, want one about %s", faults, want)
		}
	}
	if err := (&frontFlags{Addr: "127.0.0.1:0", TLSCert: "a", TLSKey: "b", OTLPEndpoint: "http://127.0.0.1:4318"}).Validate(); err != nil {
		t.Error(err)
	}
	if _, err := (&frontFlags{TLSCert: "/nowhere.pem", TLSKey: "/nowhere.key"}).openSecrets(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "/nowhere.pem") {
		t.Errorf("a missing certificate = %v", err)
	}
}
