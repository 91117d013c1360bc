package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"prunellm/infer"
	"prunellm/openapi"
)

// raw opens a connection and writes a chat request to it.
func (s *testServer) raw(dial func(addr string) (net.Conn, error), extra string) net.Conn {
	s.Helper()
	conn, err := dial(s.addr)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	body := `{` + hi + extra + `}`
	if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		s.Fatal(err)
	}
	return conn
}

func plain(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }

// forever blocks a generation at a token until its request is cancelled.
func forever(at int) func(context.Context, int) error {
	return func(ctx context.Context, token int) error {
		if token < at {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// TestClientLeaves closes the connection in every phase of a request. The server must notice each time.
func TestClientLeaves(t *testing.T) {
	tests := []struct {
		name   string
		extra  string
		change func(*fakeModels)
	}{
		{"while the variant is made", ``, func(m *fakeModels) {
			m.acquire = func(ctx context.Context, _ openapi.ModelName) error {
				<-ctx.Done()
				return ctx.Err()
			}
		}},
		{"before the first token", ``, func(m *fakeModels) { m.wait = forever(0) }},
		{"while it generates", ``, func(m *fakeModels) { m.wait = forever(3) }},
		{"with several choices", `,"n":4`, func(m *fakeModels) { m.wait = forever(3) }},
		{"in a stream before the first token", `,"stream":true`, func(m *fakeModels) { m.wait = forever(0) }},
		{"in a stream", `,"stream":true,"n":3`, func(m *fakeModels) { m.wait = forever(3) }},
		{"with a pipelined request after it", "", func(m *fakeModels) { m.wait = forever(0) }},
	}
	ways := map[string]func(net.Conn){
		"closes": func(c net.Conn) { c.Close() },
		"resets": func(c net.Conn) {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			c.Close()
		},
	}
	for _, test := range tests {
		for way, leave := range ways {
			t.Run(test.name+"/"+way, func(t *testing.T) {
				fake := newFake()
				test.change(fake)
				s := serve(t, fake)
				conn := s.raw(plain, test.extra)
				if strings.Contains(test.name, "pipelined") {
					fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
				}
				eventually(t, "the request begins", func() bool { return s.gauge("prunellm_requests_in_flight") == 1 })
				leave(conn)
				eventually(t, "the server notices", func() bool { return s.gauge("prunellm_requests_in_flight") == 0 })
				eventually(t, "generations end", func() bool { return fake.running.Load() == 0 })
				eventually(t, "variants are released", func() bool { return fake.acquired.Load() == fake.released.Load() })
			})
		}
	}
}

// TestClientStays covers a client that waits quietly for a long time: it must not count as disconnected.
func TestClientStays(t *testing.T) {
	fake := newFake()
	release := make(chan struct{})
	fake.wait = func(ctx context.Context, _ int) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// The request's read deadline passes while the response is being made.
	s := serve(t, fake, func(o *Options) { o.ReadTimeout = 500 * time.Millisecond })
	time.AfterFunc(900*time.Millisecond, func() { close(release) })
	if got := s.post("/v1/chat/completions", `{`+hi+`}`); got.status != 200 {
		t.Errorf("status %d, body %s", got.status, got.body)
	}
}

// certificate returns the key pair that net/http/httptest has for tests.
func certificate(t *testing.T) (*tls.Config, *tls.Config) {
	t.Helper()
	borrowed := httptest.NewTLSServer(http.NotFoundHandler())
	defer borrowed.Close()
	pool := x509.NewCertPool()
	pool.AddCert(borrowed.Certificate())
	return &tls.Config{Certificates: borrowed.TLS.Certificates}, &tls.Config{RootCAs: pool, ServerName: "example.com"}
}

func TestTLS(t *testing.T) {
	fake := newFake()
	theirs, ours := certificate(t)
	s := serve(t, fake, func(o *Options) { o.TLS = theirs })
	dial := func(addr string) (net.Conn, error) { return tls.Dial("tcp", addr, ours) }
	conn := s.raw(dial, `,"stream":true`)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
		t.Errorf("status %d, %v, body %s", response.StatusCode, err, body)
	}
	fake.wait = forever(0)
	for _, extra := range []string{``, `,"stream":true`} {
		conn := s.raw(dial, extra)
		eventually(t, "the request begins", func() bool { return s.gauge("prunellm_requests_in_flight") == 1 })
		conn.Close()
		eventually(t, "the server notices", func() bool { return s.gauge("prunellm_requests_in_flight") == 0 })
	}
}

// TestSlowReader never reads a large stream. The write deadline ends it, and other clients are served meanwhile.
func TestSlowReader(t *testing.T) {
	fake := newFake()
	fake.answer = func(r infer.Request) string { return strings.Repeat("x", 1<<20) }
	s := serve(t, fake, func(o *Options) { o.WriteTimeout = 100 * time.Millisecond })
	dial := func(addr string) (net.Conn, error) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4096)
		}
		return conn, err
	}
	conn := s.raw(dial, `,"stream":true,"ignore_eos":true,"n":16,"logprobs":true,"top_logprobs":20`)
	defer conn.Close()
	eventually(t, "the request begins", func() bool { return s.gauge("prunellm_requests_in_flight") == 1 })
	if got := s.do("GET", "/healthz", ""); got.status != 200 {
		t.Errorf("healthz meanwhile = %d", got.status)
	}
	eventually(t, "the slow reader is dropped", func() bool { return s.gauge("prunellm_requests_in_flight") == 0 })
	if !strings.Contains(s.log.String(), "client left") {
		t.Error("the whole stream was written: it is too small for this test")
	}
}

// TestSlowSender sends a request byte by byte, slower than the read timeout allows.
func TestSlowSender(t *testing.T) {
	s := serve(t, newFake(), func(o *Options) { o.ReadTimeout = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 408 || !strings.Contains(string(body), `"code":"request_timeout"`) {
		t.Errorf("status %d, %v, body %s", response.StatusCode, err, body)
	}
}

// TestStopFinishesRequests stops the server during an answer, which must arrive complete.
func TestStopFinishesRequests(t *testing.T) {
	fake := newFake()
	release := make(chan struct{})
	fake.answer = hello
	fake.wait = func(ctx context.Context, token int) error {
		if token == 3 {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	s := serve(t, fake)
	replies := make(chan reply, 1)
	go func() { replies <- s.post("/v1/chat/completions", `{`+hi+`,"stream":true}`) }()
	eventually(t, "the request begins", func() bool { return s.gauge("prunellm_requests_in_flight") == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	eventually(t, "the port closes", func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(release)
	text, finish, _, _ := streamed(t, (<-replies).body)
	if text[0] != "Hello, wörld!" || finish[0] != "stop" {
		t.Errorf("the stream is incomplete: %v %v", text, finish)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve() = %v", err)
	}
}

// TestStopIsBounded stops the server while a request never ends and connections are half open.
func TestStopIsBounded(t *testing.T) {
	fake := newFake()
	fake.wait = forever(0)
	s := serve(t, fake, func(o *Options) { o.StopTimeout = 100 * time.Millisecond })
	idle, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if _, err := io.WriteString(idle, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Le"); err != nil {
		t.Fatal(err)
	}
	conn := s.raw(plain, ``)
	eventually(t, "the request begins", func() bool { return s.gauge("prunellm_requests_in_flight") == 1 })
	start := time.Now()
	if err := s.stop(); err != nil {
		t.Errorf("Serve() = %v", err)
	}
	if took := time.Since(start); took > 2*closeTimeout+30*time.Second {
		t.Errorf("stopping took %v", took)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 503 {
		t.Errorf("the request that was cut off got %d", response.StatusCode)
	}
}
