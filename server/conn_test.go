package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// crowded is a listener whose Accept fails as if the system were out of file descriptors.
type crowded struct {
	net.Listener
	cause  error
	fails  atomic.Int64 // how many more failures; below 0: always
	failed atomic.Int64
}

func (c *crowded) Accept() (net.Conn, error) {
	if c.fails.Load() != 0 {
		c.fails.Add(-1)
		c.failed.Add(1)
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", c.cause)}
	}
	return c.Listener.Accept()
}

// crowd runs a server on a listener that fails. ended receives the result of Serve.
func crowd(t *testing.T, cause error, fails int64) (on *crowded, logged *syncBuffer, stop func(), ended <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	on, logged = &crowded{Listener: ln, cause: cause}, &syncBuffer{}
	on.fails.Store(fails)
	s, err := New(Options{Models: newFake(), Chat: fakeChat(t, toolsUnknown), Log: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, on) }()
	return on, logged, stop, served
}

// The server waits until the system has room for connections, and logs that once.
func TestNoRoomForConnections(t *testing.T) {
	for _, cause := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		t.Run(cause.Error(), func(t *testing.T) {
			on, logged, stop, ended := crowd(t, cause, 3)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			response, err := client.Get("http://" + on.Addr().String() + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != 200 || on.failed.Load() != 3 {
				t.Errorf("healthz = %d after %d failures, want 200 after 3", response.StatusCode, on.failed.Load())
			}
			if n := strings.Count(logged.String(), "cannot accept connections"); n != 1 {
				t.Errorf("%d log lines about failed accepts, want 1:\n%s", n, logged)
			}
			stop()
			if err := <-ended; err != nil {
				t.Errorf("Serve() = %v", err)
			}
		})
	}
}

// A server that waits for room can be stopped. If its listener is broken, Serve ends.
func TestAcceptEnds(t *testing.T) {
	on, _, stop, ended := crowd(t, syscall.EMFILE, -1)
	eventually(t, "a connection finds no room", func() bool { return on.failed.Load() > 0 })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped while waiting: Serve() = %v", err)
	}
	_, _, _, ended = crowd(t, syscall.EINVAL, -1)
	if err := <-ended; !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a broken listener: Serve() = %v, want %v", err, syscall.EINVAL)
	}
}
