package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"prunellm/internal/regularfile"
)

// frontFlags decide who may ask what, and how.
type frontFlags struct {
	Addr         string   `help:"Address to listen on. An address that other machines can reach needs --api-key-file or --insecure." group:"Serving" default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	APIKeyFile   string   `help:"File with the accepted API keys, one per line; reloaded on SIGHUP." group:"Security" name:"api-key-file" type:"path" placeholder:"FILE"`
	Insecure     bool     `help:"Allow an address that other machines can reach without API keys." group:"Security"`
	AllowedHosts []string `help:"More names that a request's Host header may have; '*' allows all." group:"Security" placeholder:"NAME,..."`
	TLSCert      string   `help:"Certificate chain in PEM. With --tls-key the server speaks HTTPS. Both are reloaded on SIGHUP." group:"Security" name:"tls-cert" type:"path" placeholder:"FILE"`
	TLSKey       string   `help:"Private key of --tls-cert in PEM." group:"Security" name:"tls-key" type:"path" placeholder:"FILE"`
	RateLimit    int      `help:"Requests per minute at most per key, or per address where no keys are needed; 0: no limit." group:"Security" default:"0" placeholder:"N"`
	OTLPEndpoint string   `help:"URL of an OpenTelemetry collector (OTLP over HTTP) for traces. OTEL_EXPORTER_OTLP_ENDPOINT works too." group:"Observability" name:"otlp-endpoint" placeholder:"URL"`
}

// maxRateLimit bounds --rate-limit.
const maxRateLimit = 1 << 20

// Validate reports every fault at once.
func (f *frontFlags) Validate() error {
	faults := nonNil(checkListen(f.Addr, f.APIKeyFile != "", f.Insecure))
	if (f.TLSCert == "") != (f.TLSKey == "") {
		faults = append(faults, errors.New("--tls-cert and --tls-key must be given together"))
	}
	if f.RateLimit < 0 || f.RateLimit > maxRateLimit {
		faults = append(faults, fmt.Errorf("--rate-limit is %d, want 0 to %d", f.RateLimit, maxRateLimit))
	}
	if f.OTLPEndpoint != "" {
		if u, err := url.Parse(f.OTLPEndpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			faults = append(faults, errors.New("--otlp-endpoint is no URL such as http://127.0.0.1:4318"))
		}
	}
	return joinFaults(faults)
}

// scheme is of the URL that the server is reached at.
func (f *frontFlags) scheme() string {
	if f.TLSCert != "" {
		return "https"
	}
	return "http"
}

// secrets are the files with keys and certificate, as they were last read.
type secrets struct {
	flags frontFlags
	log   *slog.Logger
	keys  atomic.Pointer[[]string]
	cert  atomic.Pointer[tls.Certificate]
}

// openSecrets reads the files for the first time.
func (f *frontFlags) openSecrets(log *slog.Logger) (*secrets, error) {
	s := &secrets{flags: *f, log: log}
	return s, s.read()
}

// read replaces what is known only if all of it can be read, and other users can change none of it.
func (s *secrets) read() error {
	if err := errors.Join(checkSecret("api-key-file", s.flags.APIKeyFile, s.log), checkSecret("tls-key", s.flags.TLSKey, s.log),
		checkSecret("tls-cert", s.flags.TLSCert, nil)); err != nil {
		return err
	}
	var keys []string
	if s.flags.APIKeyFile != "" {
		var err error
		if keys, err = readKeys(s.flags.APIKeyFile); err != nil {
			return err
		}
	}
	if s.flags.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(s.flags.TLSCert, s.flags.TLSKey)
		if err != nil {
			return fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		s.cert.Store(&cert)
	}
	s.keys.Store(&keys)
	return nil
}

// apiKeys gives the keys that are valid now; nil when none is needed.
func (s *secrets) apiKeys() func() []string {
	if s.flags.APIKeyFile == "" {
		return nil
	}
	return func() []string { return *s.keys.Load() }
}

// tls is nil when the server speaks plain HTTP.
func (s *secrets) tls() *tls.Config {
	if s.flags.TLSCert == "" {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil },
	}
}

// reloadOnHangup reads the files again on each SIGHUP until ctx ends. What cannot be read leaves everything as it was.
func (s *secrets) reloadOnHangup(ctx context.Context, log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1) // one that is due is enough
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
				log.Error("keys and certificate not reloaded, the old ones stay", "error", err)
				continue
			}
			log.Info("keys and certificate reloaded", "keys", len(*s.keys.Load()))
		}
	}()
	return func() {
		signal.Stop(hangups)
		cancel()
		<-done
	}
}

// maxKeyFileBytes bounds a key file.
const maxKeyFileBytes = 1 << 20

// readKeys reads a key file: one key a line, empty lines and those that begin with # skipped.
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
		return nil, fmt.Errorf("--api-key-file: %q holds no key", path)
	}
	return keys, nil
}
