// Package program lets tests run the binary as users do: as a command that ends, or as a server that listens.
package program

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Limits of waits. They are generous, because test machines are slow and shared.
const (
	ColdLimit     = 10 * time.Minute // for a server or command that prunes the real model
	WarmLimit     = 2 * time.Minute  // for one that computes nothing
	BadInputLimit = time.Minute      // for a command that refuses its input, which takes about a second
)

// Root returns the path of a file in the repository.
func Root(t *testing.T, path string) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return filepath.Join(folder, path)
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("no folder above the test has a go.mod")
		}
	}
}

// Path returns the path of the binary under test, which `make build` writes.
func Path(t *testing.T) string {
	t.Helper()
	path := Root(t, "bin/prunellm")
	Need(t, path, "make build")
	return path
}

// DefaultModel returns the path of the default model, which `make setup` fetches.
func DefaultModel(t *testing.T) string {
	t.Helper()
	path := filepath.Join(os.Getenv("PRUNELLM_HOME"), "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	Need(t, path, "make setup")
	return path
}

// Need skips a test whose resource is missing. In CI it fails the test, because all resources must exist there.
func Need(t *testing.T, path, remedy string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: run %s", path, remedy)
	}
	t.Skipf("%s is missing: run %s", path, remedy)
}

// Buffer collects what a process prints.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends to the buffer.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all that was written until now.
func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Instance is a running server.
type Instance struct {
	t      *testing.T
	status error // of the process, when Exited is closed

	Cmd    *exec.Cmd
	Base   string        // http://host:port
	Stderr *Buffer       // all that the server printed, on both streams
	Exited chan struct{} // closed when the process has ended

	Transport http.RoundTripper // for Get; nil: the default
}

// Start runs `prunellm serve` on a free port. If the server still runs at the end of the test, it is killed.
func Start(t *testing.T, args ...string) *Instance {
	t.Helper()
	addr := FreeAddr(t)
	cmd := exec.Command(Path(t), append([]string{"serve", "--addr", addr}, args...)...)
	cmd.Dir = t.TempDir() // it must run from anywhere
	return Watch(t, cmd, addr)
}

// Watch starts a command that serves at an address. If it still runs at the end of the test, it is killed.
func Watch(t *testing.T, cmd *exec.Cmd, addr string) *Instance {
	t.Helper()
	s := &Instance{t: t, Cmd: cmd, Base: "http://" + addr, Stderr: &Buffer{}, Exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s.Stderr, s.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.status = cmd.Wait()
		close(s.Exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-s.Exited
		if t.Failed() {
			t.Logf("server's log:\n%s", s.Stderr)
		}
	})
	return s
}

// FreeAddr returns an address of this machine on which nothing listens.
func FreeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Get fetches a path and returns status and body. The status is 0 if the server does not listen yet.
func (s *Instance) Get(path string) (int, string) {
	client := http.Client{Timeout: 5 * time.Second, Transport: s.Transport}
	resp, err := client.Get(s.Base + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// WaitReady waits until /readyz is 200.
func (s *Instance) WaitReady(limit time.Duration) {
	s.t.Helper()
	s.WaitFor("/readyz is 200", limit, func() bool { status, _ := s.Get("/readyz"); return status == http.StatusOK })
}

// WaitFor polls a condition of a running server.
func (s *Instance) WaitFor(what string, limit time.Duration, condition func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		select {
		case <-s.Exited:
			s.t.Fatalf("server ended (%v) before %s", s.status, what)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// Stop sends SIGTERM and waits for the end.
func (s *Instance) Stop() {
	s.t.Helper()
	if err := s.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.Exited:
	case <-time.After(40 * time.Second):
		s.t.Fatal("server still runs 40 s after SIGTERM")
	}
	if s.status != nil {
		s.t.Fatalf("server's exit after SIGTERM: %v, want status 0", s.status)
	}
}

// Metric reads a metric without labels.
func (s *Instance) Metric(name string) float64 {
	s.t.Helper()
	status, body := s.Get("/metrics")
	if status != http.StatusOK {
		s.t.Fatalf("/metrics: status %d: %s", status, body)
	}
	for _, line := range strings.Split(body, "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				s.t.Fatalf("metric %s: %v", name, err)
			}
			return value
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

// Result is the exit status and output of a command.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Command runs the binary to its end.
func Command(t *testing.T, limit time.Duration, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Path(t), args...)
	cmd.Dir = t.TempDir()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("prunellm %s: still running after %v\n%s", strings.Join(args, " "), limit, stderr.String())
	}
	r := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.Status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return r
}

// CheckRefused runs a command that must fail with one clear line and print nothing to stdout.
func CheckRefused(t *testing.T, mention string, args ...string) {
	t.Helper()
	r := Command(t, BadInputLimit, args...)
	lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
	last := lines[len(lines)-1]
	if r.Status != 1 && r.Status != 2 {
		t.Errorf("prunellm %v: status %d, want 1 or 2\n%s", args, r.Status, r.Stderr)
	}
	if !strings.Contains(last, mention) {
		t.Errorf("prunellm %v: last line of stderr is %q, want it to mention %q", args, last, mention)
	}
	for _, trace := range []string{"goroutine ", "panic:", "SIGABRT", "SIGSEGV"} {
		if strings.Contains(r.Stderr, trace) {
			t.Errorf("prunellm %v: a stack trace on stderr:\n%s", args, r.Stderr)
		}
	}
	if r.Stdout != "" && args[0] != "inspect" {
		t.Errorf("prunellm %v: stdout %q, want nothing", args, r.Stdout)
	}
}
