package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"prunellm/internal/tinymodel"
)

// certificate is a self-signed certificate for 127.0.0.1 in PEM.
type certificate struct {
	serial    int64
	cert, key []byte
}

func newCertificate(t *testing.T, serial int64) certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "prunellm test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{
		serial: serial,
		cert:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
}

// write replaces the files that the server reads.
func (c certificate) write(t *testing.T, certPath, keyPath string) {
	t.Helper()
	for path, data := range map[string][]byte{certPath: c.cert, keyPath: c.key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// trusting returns a transport that trusts only these certificates, and opens a connection for each request.
func trusting(certs ...certificate) *http.Transport {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AppendCertsFromPEM(c.cert)
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
}

// The binary serves HTTPS with a certificate, and after SIGHUP with a new one, while an earlier stream continues. If it cannot
// read a new certificate, it keeps the old one.
func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{Context: 8192}); err != nil {
		t.Fatal(err)
	}
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first, second := newCertificate(t, 1), newCertificate(t, 2)
	first.write(t, certPath, keyPath)
	s := start(t, "--model", model, "--ratio", "0", "--ctx", "8192", "--cache-dir", t.TempDir(), "--tls-cert", certPath, "--tls-key", keyPath)
	addr := strings.TrimPrefix(s.base, "http://")
	s.base, s.transport = "https://"+addr, trusting(first)
	s.waitReady(warmLimit)
	if !strings.Contains(s.stderr.String(), "https://"+addr) {
		t.Error("the log does not report HTTPS")
	}

	stream, err := (&http.Client{Transport: trusting(first)}).Post(s.base+"/v1/chat/completions", "application/json", strings.NewReader(
		`{"messages":[{"role":"user","content":"Hi"}],"stream":true,"ignore_eos":true,"max_tokens":4000}`))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	if stream.StatusCode != http.StatusOK || stream.TLS == nil || stream.TLS.Version < tls.VersionTLS12 || !lines.Scan() {
		t.Fatalf("a stream over HTTPS = %d, %+v", stream.StatusCode, stream.TLS)
	}

	second.write(t, certPath, keyPath)
	s.hangup()
	s.transport = trusting(first, second)
	s.waitFor("the server presents the new certificate", time.Minute, func() bool { return shownSerial(t, addr) == second.serial })
	if status, body := s.get("/v1/models"); status != http.StatusOK {
		t.Errorf("a request with the new certificate = %d %s", status, body)
	}
	s.transport = trusting(first)
	if status, body := s.get("/v1/models"); status != 0 || !strings.Contains(body, "x509") {
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
	s.hangup()
	s.waitFor("the log has the reason", time.Minute, func() bool { return strings.Contains(s.stderr.String(), "keeping the old ones") })
	if got := shownSerial(t, addr); got != second.serial {
		t.Errorf("after a bad file the server presents certificate %d, want %d", got, second.serial)
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
	s.transport = trusting(second)
	s.stop()
}

// hangup sends SIGHUP.
func (s *instance) hangup() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
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
