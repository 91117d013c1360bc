package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	goredis "github.com/redis/go-redis/v9"

	"prunellm/internal/e2e/program"
	"prunellm/internal/polltest"
	"prunellm/internal/store/redis/redistest"
)

// quick is a recipe that is fast enough for a test: the real model, both stages, little text.
var quick = []string{"--calibration-tokens", "1024", "--refit-tokens", "1024"}

const (
	name   = "smollm2-135m-instruct"
	pruned = name + "@0.2"
)

// A cold start prunes the real model; until then requests get 503 with Retry-After. A second start with an empty disk and the
// same Redis computes nothing. A third start finds a damaged Redis entry and computes it again.
func TestLifecycle(t *testing.T) {
	url := redistest.Start(t).URL
	args := append([]string{"--redis", url, "--while-pruning", "wait"}, quick...)

	cold := program.Start(t, append(args, "--cache-dir", t.TempDir())...)
	checkWhilePruning(t, cold)
	cold.WaitReady(program.ColdLimit)
	checkChat(t, cold)
	checkModels(t, cold)
	if got := cold.Metric("prunellm_score_passes_total"); got != 1 {
		t.Errorf("score passes of a cold start = %v, want 1", got)
	}
	text := answer(t, cold)
	cold.Stop()

	warm := program.Start(t, append(args, "--cache-dir", t.TempDir())...)
	warm.WaitReady(program.WarmLimit)
	if got := answer(t, warm); got != text {
		t.Errorf("answer with the same seed after a restart = %q, want %q", got, text)
	}
	if got := warm.Metric("prunellm_score_passes_total"); got != 0 {
		t.Errorf("score passes of a start from Redis = %v, want 0", got)
	}
	warm.Stop()

	damage(t, url)
	healed := program.Start(t, append(args, "--cache-dir", t.TempDir())...)
	healed.WaitReady(program.ColdLimit)
	if got := answer(t, healed); got != text {
		t.Errorf("answer after a damaged entry was computed again = %q, want %q", got, text)
	}
	if got := healed.Metric("prunellm_cache_corrupt_total"); got < 1 {
		t.Errorf("corrupt entries counted = %v, want at least 1", got)
	}
	healed.Stop()
}

// checkWhilePruning checks a server that has just begun to prune.
func checkWhilePruning(t *testing.T, s *program.Instance) {
	t.Helper()
	s.WaitFor("/healthz is 200", time.Minute, func() bool { status, _ := s.Get("/healthz"); return status == http.StatusOK })
	resp, err := http.Get(s.Base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("/readyz while pruning: status %d, Retry-After %q, want 503 and seconds", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	api := program.Client(s.Base)
	_, err = api.Chat.Completions.New(t.Context(), program.Question(name))
	checkAPIError(t, err, http.StatusServiceUnavailable, "")
	if got := s.Metric("prunellm_score_passes_total"); got != 0 {
		t.Errorf("score passes at start = %v, want 0", got)
	}
}

// checkChat sends plain and streamed requests, alone and at the same time as others.
func checkChat(t *testing.T, s *program.Instance) {
	t.Helper()
	api := program.Client(s.Base)
	var header *http.Response
	whole, err := api.Chat.Completions.New(t.Context(), program.Question(name), option.WithResponseInto(&header))
	if err != nil {
		t.Fatal(err)
	}
	if whole.Model != pruned || header.Header.Get("x-prunellm-variant") != pruned {
		t.Errorf("model %q, header %q, want both %q", whole.Model, header.Header.Get("x-prunellm-variant"), pruned)
	}
	if len(whole.Choices) != 1 || whole.Choices[0].Message.Content == "" || whole.Usage.CompletionTokens < 1 ||
		whole.Usage.TotalTokens != whole.Usage.PromptTokens+whole.Usage.CompletionTokens {
		t.Errorf("answer = %+v, want one choice with text and usage that adds up", whole)
	}
	want := whole.Choices[0].Message.Content
	var company sync.WaitGroup
	for range 6 {
		company.Go(func() {
			if got := streamed(t, api); got != want {
				t.Errorf("streamed answer at the same time as others = %q, want %q as alone", got, want)
			}
		})
	}
	company.Wait()
	s.WaitFor("no request is in flight", 15*time.Second, func() bool { return s.Metric("prunellm_requests_in_flight") == 0 })
}

func streamed(t *testing.T, api openai.Client) string {
	params := program.Question(name)
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := api.Chat.Completions.NewStreaming(t.Context(), params)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		sum.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Error(err)
		return ""
	}
	if len(sum.Choices) != 1 || sum.Usage.CompletionTokens < 1 {
		t.Errorf("stream = %+v, want one choice and usage", sum)
		return ""
	}
	return sum.Choices[0].Message.Content
}

func answer(t *testing.T, s *program.Instance) string {
	t.Helper()
	api := program.Client(s.Base)
	response, err := api.Chat.Completions.New(t.Context(), program.Question(name))
	if err != nil {
		t.Fatal(err)
	}
	return response.Choices[0].Message.Content
}

func checkModels(t *testing.T, s *program.Instance) {
	t.Helper()
	api := program.Client(s.Base)
	page, err := api.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Data) == 0 || (page.Data[0].ID != name && page.Data[0].ID != pruned) {
		t.Errorf("models = %+v, want %q first", page.Data, name)
	}
	s.WaitFor("the card has the cost of pruning", time.Minute, func() bool {
		_, body := s.Get("/v1/models/" + pruned)
		return strings.Contains(body, `"perplexity_ratio":`) && strings.Contains(body, `"eval_tokens":`)
	})
	dense := program.Question(name + "@0")
	response, err := api.Chat.Completions.New(t.Context(), dense)
	if err != nil || response.Model != name+"@0" {
		t.Errorf("chat with %s@0: %v, model %q", name, err, response.Model)
	}
	_, err = api.Chat.Completions.New(t.Context(), program.Question("gpt-4o"))
	checkAPIError(t, err, http.StatusNotFound, "model_not_found")
	long := program.Question(name)
	long.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage(strings.Repeat("word ", 12000))}
	_, err = api.Chat.Completions.New(t.Context(), long)
	checkAPIError(t, err, http.StatusBadRequest, "context_length_exceeded")
}

func checkAPIError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var failure *openai.Error
	if !errors.As(err, &failure) {
		t.Errorf("error = %T %v, want an *openai.Error", err, err)
		return
	}
	if failure.StatusCode != status || (code != "" && failure.Code != code) || failure.Message == "" {
		t.Errorf("error = %d %q %q, want %d %q", failure.StatusCode, failure.Code, failure.Message, status, code)
	}
}

// damage alters a byte in the middle of the largest string in Redis.
func damage(t *testing.T, url string) {
	t.Helper()
	options, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db := goredis.NewClient(options)
	defer db.Close()
	ctx := context.Background()
	keys, err := db.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	var largest string
	var size int64
	for _, key := range keys {
		if n, err := db.StrLen(ctx, key).Result(); err == nil && n > size {
			largest, size = key, n
		}
	}
	if size < 10_000 {
		t.Fatalf("largest string in Redis has %d bytes, want the scores or more: %v", size, keys)
	}
	old, err := db.GetRange(ctx, largest, size/2, size/2).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.SetRange(ctx, largest, size/2, string([]byte{old[0] ^ 0xff})).Err(); err != nil {
		t.Fatal(err)
	}
}

// While the variant is being made, the dense model answers, and each answer names it. Then the variant answers. No request fails.
func TestDenseAnswersMeanwhile(t *testing.T) {
	s := program.Start(t, append([]string{"--cache-dir", t.TempDir(), "--ratio", "0.4"}, quick...)...)
	s.WaitReady(program.ColdLimit)
	api := program.Client(s.Base)
	seen, asked := map[string]int{}, time.Time{}
	s.WaitFor("the pruned variant answers", program.ColdLimit, func() bool {
		if time.Since(asked) < 3*time.Second { // the job yields to requests, and works between them
			return false
		}
		asked = time.Now()
		var header *http.Response
		response, err := api.Chat.Completions.New(t.Context(), program.Question(name), option.WithResponseInto(&header), option.WithMaxRetries(0))
		if err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		if got := header.Header.Get("x-prunellm-variant"); got != response.Model {
			t.Errorf("header %q, model %q", got, response.Model)
		}
		seen[response.Model]++
		return response.Model == name+"@0.4"
	})
	if seen[name+"@0"] == 0 {
		t.Errorf("answers came from %v, want the dense model's first", seen)
	}
	s.Stop()
}

// A second start needs only the disk, and a new ratio needs no second score pass.
func TestDiskCacheAndFurtherRatio(t *testing.T) {
	args := append([]string{"--cache-dir", t.TempDir()}, quick...)
	first := program.Start(t, append(args, "--while-pruning", "wait")...)
	first.WaitReady(program.ColdLimit)
	api := program.Client(first.Base)
	response, err := api.Chat.Completions.New(t.Context(), program.Question(name+"@0.3"))
	if err != nil || response.Model != name+"@0.3" {
		t.Fatalf("chat with %s@0.3: %v", name, err)
	}
	if got := first.Metric("prunellm_score_passes_total"); got != 1 {
		t.Errorf("score passes after a new ratio = %v, want 1", got)
	}
	first.Stop()
	second := program.Start(t, append(args, "--ratio", "0.3")...)
	second.WaitReady(program.WarmLimit)
	if got := second.Metric("prunellm_score_passes_total"); got != 0 {
		t.Errorf("score passes of a start from disk = %v, want 0", got)
	}
	second.Stop()
}

// If Redis is unreachable, the server logs a warning and serves.
func TestUnreachableRedis(t *testing.T) {
	s := program.Start(t, append([]string{"--redis", "redis://:secretword@" + program.FreeAddr(t) + "/0", "--cache-dir", t.TempDir(), "--ratio", "0"}, quick...)...)
	s.WaitReady(program.WarmLimit)
	if answer(t, s) == "" {
		t.Error("no answer without Redis")
	}
	if log := s.Stderr.String(); !strings.Contains(log, "redis") || strings.Contains(log, "secretword") {
		t.Errorf("log = %q, want a warning about redis without its password", log)
	}
	s.Stop()
}

// When a server is killed, its child process ends.
func TestChildEndsWithKilledServer(t *testing.T) {
	s := program.Start(t, "--cache-dir", t.TempDir())
	var child int
	s.WaitFor("a worker runs", time.Minute, func() bool { child = program.ChildOf(s.Cmd.Process.Pid); return child != 0 })
	if err := s.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Exited
	polltest.Within(t, 10*time.Second, func() error {
		if program.Running(child) {
			return fmt.Errorf("child %d runs without its parent", child)
		}
		return nil
	})
}

// A child process yields to requests, but not to other programs. While there are no requests it has the server's priority, even if
// the dense model could answer. It pauses during a request.
func TestJobsYieldOnlyToRequests(t *testing.T) {
	for _, meanwhile := range []string{"wait", "dense"} {
		t.Run(meanwhile, func(t *testing.T) {
			s := program.Start(t, "--while-pruning", meanwhile, "--cache-dir", t.TempDir())
			var child int
			s.WaitFor("a child process runs", time.Minute, func() bool { child = program.ChildOf(s.Cmd.Process.Pid); return child != 0 })
			s.WaitFor("it computes", 2*time.Minute, func() bool {
				return strings.Contains(s.Stderr.String(), " percent=") || !program.Running(child)
			})
			if got := program.Nice(child); got != program.Nice(s.Cmd.Process.Pid) {
				t.Errorf("the child's priority is %q, the server's %q", got, program.Nice(s.Cmd.Process.Pid))
			}
			if meanwhile == "dense" {
				s.WaitFor("it pauses during a request", time.Minute, func() bool {
					answer(t, s)
					return program.State(child) == "T" // it pauses for a second after a request
				})
				s.WaitFor("it continues", time.Minute, func() bool { return program.State(child) != "T" })
			}
			s.Stop()
		})
	}
}

// Checks API keys, and which endpoints need them.
func TestAPIKeys(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("# people\nfirst-key\nsecond-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, "--ratio", "0", "--api-key-file", keys, "--cache-dir", t.TempDir())
	s.WaitReady(program.WarmLimit)
	for given, want := range map[string]int{"first-key": 0, "second-key": 0, "wrong": http.StatusUnauthorized} {
		api := program.Client(s.Base, option.WithAPIKey(given))
		_, err := api.Chat.Completions.New(t.Context(), program.Question(name))
		if want == 0 && err != nil {
			t.Errorf("chat with key %q: %v", given, err)
		}
		if want != 0 {
			checkAPIError(t, err, want, "")
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Base+"/tokenize", strings.NewReader(`{"content":"Hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Api-Key", "second-key")
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct{ Tokens []int }
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != http.StatusOK || len(body.Tokens) == 0 {
		t.Errorf("/tokenize with x-api-key: status %d, %v, %v", resp.StatusCode, body, err)
	}
	s.Stop()
}
