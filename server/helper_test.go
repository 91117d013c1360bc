package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"prunellm/internal/polltest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp and fiber each run a clock for the life of the process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// It checks every ten seconds whether its server has stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/gofiber/fiber/v2/utils.StartTimeStampUpdater.func1.1"),
	)
}

// testServer is a Server on a real port.
type testServer struct {
	*testing.T
	server   *Server
	url      string
	addr     string
	log      *syncBuffer
	registry *prometheus.Registry
	client   *http.Client
	stop     func() error // stops the server and returns the result of Serve
}

// syncBuffer collects log lines from several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// templateOf returns the chat template of a fake.
func templateOf(models Models) string {
	if fake, ok := models.(*fakeModels); ok {
		return fake.template
	}
	return toolsUnknown
}

func serve(t *testing.T, models Models, change ...func(*Options)) *testServer {
	t.Helper()
	s := &testServer{T: t, log: &syncBuffer{}, registry: prometheus.NewRegistry(), client: &http.Client{Transport: &http.Transport{}}}
	options := Options{
		Models: models, Chat: fakeChat(t, templateOf(models)), Registry: s.registry, Version: "test",
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		// Shorter than the defaults, to keep tests fast.
		PingInterval: 20 * time.Millisecond, Probe: 10 * time.Millisecond, StopTimeout: 5 * time.Second,
	}
	for _, f := range change {
		f(&options)
	}
	var err error
	if s.server, err = New(options); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	s.url = "http://" + s.addr
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, ln) }()
	var once sync.Once
	var stopErr error
	s.stop = func() error {
		once.Do(func() {
			cancel()
			stopErr = <-served
		})
		return stopErr
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := s.stop(); err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return s
}

// reply is a response, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(r.body, into); err != nil {
		t.Fatalf("body %q: %v", r.body, err)
	}
}

// do sends a request; headers are pairs of name and value.
func (s *testServer) do(method, path, body string, headers ...string) reply {
	s.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	got := reply{res.StatusCode, res.Header, read}
	checkContract(s.T, req, []byte(body), got)
	return got
}

func (s *testServer) post(path, body string, headers ...string) reply {
	s.Helper()
	return s.do(http.MethodPost, path, body, headers...)
}

// gauge returns the value of a metric without labels.
func (s *testServer) gauge(name string) float64 {
	s.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			metric := family.GetMetric()[0]
			return metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	s.Fatalf("no metric %s", name)
	return 0
}

// eventually waits for a condition that another goroutine fulfils.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	polltest.Within(t, 10*time.Second, func() error {
		if !condition() {
			return errors.New(what)
		}
		return nil
	})
}
