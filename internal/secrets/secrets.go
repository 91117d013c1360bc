// Package secrets reads the files that control access to a server: API keys, and the certificate with its private key.
// It reads them again on SIGHUP.
//
// # Errors
//
// A file that other users can change is an error; a secret that they can read is a warning. Errors name the flag of the
// file. If a reload fails, keys and certificate do not change.
//
// # Concurrency
//
// A Store may be used from several goroutines.
package secrets

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
)

// maxKeyFileBytes bounds a key file.
const maxKeyFileBytes = 1 << 20

// Files are the paths of a server's secrets; "" for absent ones.
type Files struct {
	APIKeys string // one key per line
	TLSCert string // certificate chain in PEM
	TLSKey  string // its private key in PEM
}

// Store has the keys and the certificate of the last successful read.
type Store struct {
	files Files
	log   *slog.Logger
	keys  atomic.Pointer[[]string]
	cert  atomic.Pointer[tls.Certificate]
}

// Open reads the files for the first time.
func Open(files Files, log *slog.Logger) (*Store, error) {
	s := &Store{files: files, log: log}
	return s, s.read()
}

// read replaces keys and certificate if it can read both and other users can change neither.
func (s *Store) read() error {
	if err := errors.Join(Check("api-key-file", s.files.APIKeys, s.log), Check("tls-key", s.files.TLSKey, s.log),
		Check("tls-cert", s.files.TLSCert, nil)); err != nil {
		return err
	}
	var keys []string
	if s.files.APIKeys != "" {
		var err error
		if keys, err = readKeys(s.files.APIKeys); err != nil {
			return err
		}
	}
	if s.files.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(s.files.TLSCert, s.files.TLSKey)
		if err != nil {
			return fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		s.cert.Store(&cert)
	}
	s.keys.Store(&keys)
	return nil
}

// APIKeys returns a function that returns the keys that are valid now. It is nil if the server needs no keys.
func (s *Store) APIKeys() func() []string {
	if s.files.APIKeys == "" {
		return nil
	}
	return func() []string { return *s.keys.Load() }
}

// TLS returns the settings of HTTPS, or nil for plain HTTP.
func (s *Store) TLS() *tls.Config {
	if s.files.TLSCert == "" {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil },
	}
}

// ReloadOnHangup reads the files again on each SIGHUP until ctx ends. The caller calls stop, which waits.
func (s *Store) ReloadOnHangup(ctx context.Context) (stop func()) {
	hangups := make(chan os.Signal, 1) // one pending signal is enough
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
			}
			if err := s.read(); err != nil {
				s.log.Error("cannot reload keys and certificate, keeping the old ones", "error", err)
				continue
			}
			s.log.Info("keys and certificate reloaded", "keys", len(*s.keys.Load()))
		}
	}()
	return func() {
		signal.Stop(hangups)
		cancel()
		<-done
	}
}

// Check refuses a file of secrets or keys if other users can change it. With log, it warns if they can read it. An empty path
// means no file.
func Check(flag, path string, log *slog.Logger) error {
	if path == "" {
		return nil
	}
	readable, err := trust.Readable(path)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	if readable && log != nil {
		log.Warn("other users can read a secret: run 'chmod o-r' on its file", "flag", "--"+flag, "path", path)
	}
	return nil
}

// ReadKey returns the API key for a client, the first line of the file at path. An empty path means no key.
func ReadKey(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := regularfile.Read(path, maxKeyFileBytes)
	if err != nil {
		return "", fmt.Errorf("--api-key-file: %w", err)
	}
	key, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(key), nil
}

// readKeys reads a key file: one key per line, without empty lines and those that begin with #.
func readKeys(path string) ([]string, error) {
	file, _, err := regularfile.Open(path, maxKeyFileBytes)
	if err != nil {
		return nil, fmt.Errorf("--api-key-file: %w", err)
	}
	defer file.Close()
	var keys []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		key := strings.TrimSpace(scanner.Text())
		if key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		keys = append(keys, key)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("--api-key-file: read %q: %w", path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("--api-key-file: %q has no keys", path)
	}
	return keys, nil
}
