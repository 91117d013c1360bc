package e2e

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

// program returns the path of the binary under test, which `make build` writes.
func program(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/prunellm")
	if err != nil {
		t.Fatal(err)
	}
	need(t, path, "make build")
	return path
}

// need skips a test whose resource is missing. In CI it fails the test, because all resources must exist there.
func need(t *testing.T, path, remedy string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: run %s", path, remedy)
	}
	t.Skipf("%s is missing: run %s", path, remedy)
}

// lockedBuffer collects what a process prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// instance is a running server.
type instance struct {
	t      *testing.T
	cmd    *exec.Cmd
	base   string // http://host:port
	stderr *lockedBuffer
	exited chan struct{}
	status error

	transport http.RoundTripper // for get; nil: the default
}

// start runs `prunellm serve` on a free port. If the server still runs at the end of the test, it is killed.
func start(t *testing.T, args ...string) *instance {
	t.Helper()
	addr := freeAddr(t)
	cmd := exec.Command(program(t), append([]string{"serve", "--addr", addr}, args...)...)
	cmd.Dir = t.TempDir() // it must run from anywhere
	return watch(t, cmd, addr)
}

func watch(t *testing.T, cmd *exec.Cmd, addr string) *instance {
	t.Helper()
	s := &instance{t: t, cmd: cmd, base: "http://" + addr, stderr: &lockedBuffer{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s.stderr, s.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.status = cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-s.exited
		if t.Failed() {
			t.Logf("server's log:\n%s", s.stderr)
		}
	})
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// get fetches a path and returns status and body. The status is 0 if the server does not listen yet.
func (s *instance) get(path string) (int, string) {
	client := http.Client{Timeout: 5 * time.Second, Transport: s.transport}
	resp, err := client.Get(s.base + path)
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

// waitReady waits until /readyz is 200.
func (s *instance) waitReady(limit time.Duration) {
	s.t.Helper()
	s.waitFor("/readyz is 200", limit, func() bool { status, _ := s.get("/readyz"); return status == http.StatusOK })
}

// waitFor polls a condition of a running server.
func (s *instance) waitFor(what string, limit time.Duration, condition func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		select {
		case <-s.exited:
			s.t.Fatalf("server ended (%v) before %s", s.status, what)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// stop sends SIGTERM and waits for the end.
func (s *instance) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(40 * time.Second):
		s.t.Fatal("server still runs 40 s after SIGTERM")
	}
	if s.status != nil {
		s.t.Fatalf("server's exit after SIGTERM: %v, want status 0", s.status)
	}
}

// metric reads a metric without labels.
func (s *instance) metric(name string) float64 {
	s.t.Helper()
	status, body := s.get("/metrics")
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

// result is the exit status and output of a command.
type result struct {
	status         int
	stdout, stderr string
}

// command runs the binary to its end.
func command(t *testing.T, limit time.Duration, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Dir = t.TempDir()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("prunellm %s: still running after %v\n%s", strings.Join(args, " "), limit, stderr.String())
	}
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return r
}
