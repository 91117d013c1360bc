package e2e

import (
	"bufio"
	"crypto/tls"
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

// The binary serves HTTPS with a certificate, and after SIGHUP with a new one, while an earlier stream continues. If it cannot
// read a new certificate, it keeps the old one.
func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{Context: 8192}); err != nil {
		t.Fatal(err)
	}
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first, second := program.NewCertificate(t, 1), program.NewCertificate(t, 2)
	first.Write(t, certPath, keyPath)
	s := program.Start(t, "--model", model, "--ratio", "0", "--ctx", "8192", "--cache-dir", t.TempDir(), "--tls-cert", certPath, "--tls-key", keyPath)
	addr := strings.TrimPrefix(s.Base, "http://")
	s.Base, s.Transport = "https://"+addr, program.Trusting(first)
	s.WaitReady(program.WarmLimit)
	if !strings.Contains(s.Stderr.String(), "https://"+addr) {
		t.Error("the log does not report HTTPS")
	}

	stream, err := (&http.Client{Transport: program.Trusting(first)}).Post(s.Base+"/v1/chat/completions", "application/json", strings.NewReader(
		`{"messages":[{"role":"user","content":"Hi"}],"stream":true,"ignore_eos":true,"max_tokens":4000}`))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	if stream.StatusCode != http.StatusOK || stream.TLS == nil || stream.TLS.Version < tls.VersionTLS12 || !lines.Scan() {
		t.Fatalf("a stream over HTTPS = %d, %+v", stream.StatusCode, stream.TLS)
	}

	second.Write(t, certPath, keyPath)
	hangup(t, s)
	s.Transport = program.Trusting(first, second)
	s.WaitFor("the server presents the new certificate", time.Minute, func() bool { return shownSerial(t, addr) == second.Serial })
	if status, body := s.Get("/v1/models"); status != http.StatusOK {
		t.Errorf("a request with the new certificate = %d %s", status, body)
	}
	s.Transport = program.Trusting(first)
	if status, body := s.Get("/v1/models"); status != 0 || !strings.Contains(body, "x509") {
		t.Errorf("a client that trusts only the old certificate got %d %s", status, body)
	}
	last := ""
	for lines.Scan() {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if last != "data: [DONE]" || lines.Err() != nil {
		t.Errorf("the stream that began with the old certificate ends with %q, %v", last, lines.Err())
	}

	if err := os.WriteFile(certPath, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangup(t, s)
	s.WaitFor("the log has the reason", time.Minute, func() bool { return strings.Contains(s.Stderr.String(), "keeping the old ones") })
	if got := shownSerial(t, addr); got != second.Serial {
		t.Errorf("after a bad file the server presents certificate %d, want %d", got, second.Serial)
	}

	if response, err := http.Get("http://" + addr + "/v1/models"); err == nil {
		response.Body.Close()
		if response.StatusCode < 400 {
			t.Errorf("plain HTTP = %d, want it refused", response.StatusCode)
		}
	}
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} // the test is about the version
	if conn, err := tls.Dial("tcp", addr, old); err == nil {
		conn.Close()
		t.Error("the server accepted TLS 1.1")
	}
	s.Transport = program.Trusting(second)
	s.Stop()
}

// hangup sends SIGHUP.
func hangup(t *testing.T, s *program.Instance) {
	t.Helper()
	if err := s.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// shownSerial returns the serial number of the certificate that a new connection receives.
func shownSerial(t *testing.T, addr string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // the test reads the certificate without trusting it
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}
