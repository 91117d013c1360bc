package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// soakWorkers is the number of concurrent clients, more than the server's --parallel.
const soakWorkers = 8

// TestSoak sends many short requests of all kinds, cancels or cuts off many of them, and checks for leaks. scripts/check/soak
// runs it with 20,000 requests and measures memory; every test run has a few hundred.
func TestSoak(t *testing.T) {
	requests := 400
	if text := os.Getenv("PRUNELLM_SOAK"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("PRUNELLM_SOAK: %v", err)
		}
		requests = n
	}
	model := os.Getenv("PRUNELLM_SOAK_MODEL")
	if model == "" {
		model = filepath.Join(t.TempDir(), "tiny.gguf")
		if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", t.TempDir(), "--ctx", "256", "--parallel", "4", "--log-level", "error")
	s.WaitReady(program.WarmLimit)
	soak := &soaker{base: s.Base, refused: map[int]int{}}
	// Memory that the first requests allocate permanently is not a leak.
	warm := max(requests/10, 50)
	soak.run(t, warm, 1)
	before := settle(t, s)
	first := soak.run(t, min(1000, requests), 2)
	if rest := requests - 2000; rest > 0 {
		soak.run(t, rest, 3)
	}
	last := soak.run(t, min(1000, requests), 4)
	after := settle(t, s)
	t.Logf("%d requests, %d of them cut off, answers refused by status: %v", soak.sent.Load(), soak.cut.Load(), soak.refused)
	t.Logf("first and last %d: %.0f and %.0f requests/s", min(1000, requests), first, last)
	t.Logf("memory after the first %d: %.1f MiB, at the end: %.1f MiB (%+.2f %%)", warm, mib(before), mib(after), 100*float64(after-before)/float64(before))
	if requests >= 10000 && float64(after) > 1.02*float64(before) {
		t.Errorf("memory grew from %d to %d bytes, want less than 2 %%", before, after)
	}
	s.Stop()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// settle waits until no request is in flight, and returns the server's resident memory in bytes.
func settle(t *testing.T, s *program.Instance) int64 {
	t.Helper()
	s.WaitFor("no request is in flight", time.Minute, func() bool { return s.Metric("prunellm_requests_in_flight") == 0 })
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

type soaker struct {
	base      string
	sent, cut atomic.Int64

	mu      sync.Mutex
	refused map[int]int // responses by status, except 200
}

// run sends n requests and returns the number of requests per second.
func (s *soaker) run(t *testing.T, n int, seed uint64) float64 {
	began := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var workers sync.WaitGroup
	for worker := range uint64(soakWorkers) {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(seed, worker))
			for left.Add(-1) >= 0 {
				s.sent.Add(1)
				if err := s.one(random); err != nil {
					t.Errorf("request: %v", err)
				}
			}
		})
	}
	workers.Wait()
	return float64(n) / time.Since(began).Seconds()
}

// one sends a request of a random kind.
func (s *soaker) one(random *rand.Rand) error {
	content := strings.Repeat("some words ", 1+random.IntN(4)) + strconv.Itoa(random.IntN(1000))
	extra := []string{
		``, ``, `,"n":2`, `,"logprobs":true,"top_logprobs":3`, `,"stop":["a","bc"]`, `,"response_format":{"type":"json_object"}`,
		`,"top_p":0.8,"frequency_penalty":0.5`, `,"temperature":-3`, `,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"not":{}}}}`,
	}[random.IntN(9)]
	body := fmt.Sprintf(`{"model":"default","messages":[{"role":"user","content":%q}],"max_tokens":%d,"seed":%d%s`,
		content, 1+random.IntN(12), random.IntN(1000), extra)
	switch random.IntN(10) {
	case 0:
		return s.hangUp(body+"}", random)
	case 1, 2, 3:
		return s.read(body+`,"stream":true}`, random.IntN(400)) // disconnects after some bytes
	case 4, 5:
		return s.read(body+`,"stream":true}`, -1)
	case 6:
		return s.read(fmt.Sprintf(`{"model":"default","input":[%q,"b"]}`, content), -1)
	}
	return s.read(body+"}", -1)
}

// read sends a request and reads the response. It disconnects after leave bytes, or never if leave is negative.
func (s *soaker) read(body string, leave int) error {
	path := "/v1/chat/completions"
	if strings.Contains(body, `"input"`) {
		path = "/v1/embeddings"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.mu.Lock()
		s.refused[response.StatusCode]++
		s.mu.Unlock()
		if response.StatusCode >= 500 {
			text, _ := io.ReadAll(response.Body)
			return fmt.Errorf("status %d: %s", response.StatusCode, text)
		}
	}
	if leave >= 0 {
		s.cut.Add(1)
		_, err = io.CopyN(io.Discard, response.Body, int64(leave))
		cancel()
		if err == io.EOF {
			return nil
		}
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// hangUp sends a request and closes the connection at once or a little later.
func (s *soaker) hangUp(body string, random *rand.Rand) error {
	s.cut.Add(1)
	address := strings.TrimPrefix(s.base, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	text := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body)
	if random.IntN(4) == 0 {
		text = text[:random.IntN(len(text))]
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return err
	}
	if random.IntN(2) == 0 {
		_ = conn.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(20)) * time.Millisecond))
		_, _ = conn.Read(make([]byte, 1)) // any byte, or a timeout
	}
	return nil
}
