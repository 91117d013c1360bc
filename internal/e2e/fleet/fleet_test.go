package fleet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/tinymodel"
)

// fleetModel writes a model that takes seconds to prune. It returns a function for the flags that serve it with a Redis.
func fleetModel(t *testing.T) (serve func(redisURL string) []string) {
	t.Helper()
	return fleetModelOf(t, 512)
}

// fleetModelOf is fleetModel with that many neurons per layer.
func fleetModelOf(t *testing.T, neurons int) (serve func(redisURL string) []string) {
	t.Helper()
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{Architecture: "deci", FFN: []int{neurons, neurons}}); err != nil {
		t.Fatal(err)
	}
	return func(redisURL string) []string {
		return []string{"--model", model, "--redis", redisURL, "--cache-dir", t.TempDir(), "--calibration-tokens", "512", "--ctx", "256", "--threads", "1", "--while-pruning", "wait"}
	}
}

// Ten replicas that start at the same time compute once. A later one with an empty disk computes nothing.
func TestTenReplicasComputeOnce(t *testing.T) {
	redis := redistest.Start(t)
	serve := fleetModel(t)
	replicas := make([]*program.Instance, 10)
	for i := range replicas {
		replicas[i] = program.Start(t, serve(redis.URL)...)
	}
	passes := 0.0
	for _, replica := range replicas {
		replica.WaitReady(program.ColdLimit)
		passes += replica.Metric("prunellm_score_passes_total")
	}
	if passes != 1 {
		t.Errorf("score passes of ten replicas = %v, want 1", passes)
	}
	// A variant that one replica makes is announced to the others, and none computes it again.
	if status, body := chat(t, replicas[0].Base, "tiny@0.1"); status != http.StatusOK {
		t.Fatalf("chat with a new ratio: status %d: %s", status, body)
	}
	replicas[9].WaitFor("the other replica's ratio is listed", time.Minute, func() bool {
		_, body := replicas[9].Get("/v1/models")
		return strings.Contains(body, `"tiny@0.1"`)
	})
	late := program.Start(t, serve(redis.URL)...)
	late.WaitReady(program.ColdLimit)
	if got := late.Metric("prunellm_score_passes_total"); got != 0 {
		t.Errorf("score passes of a later replica = %v, want 0", got)
	}
	late.WaitFor("the metrics have the bytes in Redis", time.Minute, func() bool {
		_, body := late.Get("/metrics")
		return strings.Contains(body, `prunellm_cache_bytes{kind="down",store="redis"} `) &&
			!strings.Contains(body, `prunellm_cache_bytes{kind="scores",store="redis"} 0`)
	})
	if status, body := chat(t, late.Base, "tiny@0.1"); status != http.StatusOK {
		t.Errorf("chat with another replica's ratio: status %d: %s", status, body)
	}
	if log := late.Stderr.String(); strings.Contains(log, "refitting") {
		t.Error("the later replica refitted a published variant again")
	}
}

// Other replicas replace a leader that is stopped, and its successor that is killed. When the first leader resumes, its writes
// are refused, and it serves what it computed itself.
func TestLeadersDie(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	serve := fleetModel(t)
	lead := func(s *program.Instance) (worker int) { // a leader that never finishes
		t.Helper()
		s.WaitFor("it leads", time.Minute, func() bool { return s.Metric("prunellm_lease_held") == 1 })
		s.WaitFor("its worker runs", time.Minute, func() bool { worker = program.ChildOf(s.Cmd.Process.Pid); return worker != 0 })
		signal(t, worker, syscall.SIGSTOP)
		return worker
	}
	wait := func(s *program.Instance) {
		t.Helper()
		s.WaitFor("it reports what it waits for", time.Minute, func() bool {
			_, body := s.Get("/readyz")
			return strings.Contains(body, "waiting for another replica")
		})
	}
	first := program.Start(t, serve(redis.URL)...)
	first.WaitFor("it answers", time.Minute, func() bool { status, _ := first.Get("/healthz"); return status == http.StatusOK })
	worker := lead(first)
	second := program.Start(t, append(serve(redis.URL), "--while-pruning", "dense")...)
	wait(second)
	second.WaitReady(program.WarmLimit) // the dense model answers meanwhile
	if status, body := chat(t, second.Base, "tiny"); status != http.StatusOK || !strings.Contains(body, `"tiny@0"`) {
		t.Errorf("chat while another replica computes: status %d: %s", status, body)
	}

	signal(t, first.Cmd.Process.Pid, syscall.SIGSTOP)
	stopped := time.Now()
	lead(second)
	t.Logf("a stopped leader was replaced after %.1f s", time.Since(stopped).Seconds())
	third := program.Start(t, serve(redis.URL)...)
	wait(third)
	if err := second.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	third.WaitFor("it leads", time.Minute, func() bool {
		return third.Metric("prunellm_lease_held") == 1 || third.Metric("prunellm_score_passes_total") == 1
	})
	t.Logf("a killed leader was replaced after %.1f s", time.Since(killed).Seconds())
	third.WaitReady(program.ColdLimit)

	before := values(t, redis)
	signal(t, first.Cmd.Process.Pid, syscall.SIGCONT)
	signal(t, worker, syscall.SIGCONT)
	first.WaitReady(program.ColdLimit)
	if log := first.Stderr.String(); !strings.Contains(log, "lease was taken over by another replica") {
		t.Errorf("the first leader's log = %s\nwant a refused write", log)
	}
	for key, value := range before {
		if now := redis.Do("GET", key); now != value {
			t.Errorf("%s was written by a replaced leader", key)
		}
	}
	for _, s := range []*program.Instance{first, third} {
		if status, body := chat(t, s.Base, "tiny"); status != http.StatusOK {
			t.Errorf("chat afterwards: status %d: %s", status, body)
		}
	}
}

// values returns the entries of scores and refitted tensors.
func values(t *testing.T, redis *redistest.Server) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, pattern := range []string{"*:scores:*", "*:down:*"} {
		for _, key := range redis.Do("KEYS", pattern).([]any) {
			name := key.(string)
			switch name[strings.LastIndexByte(name, ':'):] {
			case ":lease", ":fence", ":progress": // temporary
			default:
				out[name] = redis.Do("GET", name)
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("nothing was published")
	}
	return out
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// chat sends one request for a few tokens.
func chat(t *testing.T, base, model string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), program.WarmLimit)
	defer cancel()
	text := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Hello"}],"max_tokens":8}`, model)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(answer)
}

// talk sends requests until stop is called, which returns the number of answers. Each failure is a test error.
func talk(t *testing.T, base, model string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	var mu sync.Mutex
	answers := 0
	for range 2 {
		work.Go(func() {
			for ctx.Err() == nil {
				status, body := chat(t, base, model)
				if status != http.StatusOK {
					t.Errorf("a request failed: status %d: %.300s", status, body)
					return
				}
				mu.Lock()
				answers++
				mu.Unlock()
				select { // leaves processor time for making variants
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	return func() int {
		cancel()
		work.Wait()
		return answers
	}
}
