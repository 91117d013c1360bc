package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3/option"

	"prunellm/convert"
	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
	"prunellm/openapi"
)

// recoverLimit is generous, because the tiny model takes seconds.
const recoverLimit = 3 * time.Minute

// tinyModel writes a model whose commands take seconds, and a text for it.
func tinyModel(t *testing.T, context int) (model, text string) {
	t.Helper()
	dir := t.TempDir()
	model, text = filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "text.txt")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{256, 256}, Context: context}); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields("the bear said hello in a forest on another day to some old friends of his and they sat down here")
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for range 4000 {
		b.WriteString(words[random.IntN(len(words))] + " ")
	}
	if err := os.WriteFile(text, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return model, text
}

// recover makes and trains a variant, and writes it because it is better. The second run finds it in the cache.
func TestRecover(t *testing.T) {
	model, text := tinyModel(t, 128)
	dir := t.TempDir()
	output := filepath.Join(dir, "out.gguf")
	args := []string{"recover", "--model", model, "--ratio", "0.2", "--tokens", "4096", "--learning-rate", "0.0001", "--calibration", text,
		"--calibration-tokens", "1024", "--text-tokens", "4096", "--cache-dir", filepath.Join(dir, "cache"), "-o", output,
		"--log-format", "json"}
	r := program.Command(t, recoverLimit, args...)
	if r.Status != 0 || !strings.Contains(r.Stdout, "KL to dense") {
		t.Fatalf("recover: status %d, stdout %q\n%s", r.Status, r.Stdout, r.Stderr)
	}
	// Child processes log in the requested format.
	evaluated := 0
	for line := range strings.Lines(r.Stderr) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("a log line with --log-format json is %q: %v", line, err)
		}
		if entry.Msg == "recovery evaluated" {
			evaluated++
		}
	}
	if evaluated == 0 {
		t.Errorf("no line reports an evaluation:\n%s", r.Stderr)
	}
	file, err := gguf.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	provenance, ok := convert.ReadProvenance(file)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if !ok || !strings.Contains(provenance.Recovered, "train=mlp tokens=4096") {
		t.Errorf("provenance is %+v, want the settings of the training", provenance)
	}
	if r := program.Command(t, recoverLimit, "inspect", output); r.Status != 0 {
		t.Errorf("inspect: status %d, %s", r.Status, r.Stdout)
	}
	first, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(output); err != nil {
		t.Fatal(err)
	}
	again := program.Command(t, recoverLimit, args...)
	second, err := os.ReadFile(output)
	if again.Status != 0 || err != nil || string(first) != string(second) {
		t.Errorf("recover again: status %d, %v, want the same file\n%s", again.Status, err, again.Stderr)
	}
	if strings.Contains(again.Stderr, "recovery evaluated") {
		t.Errorf("recover again has trained again:\n%s", again.Stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "cache", "recovery", "*")); len(left) > 0 {
		t.Errorf("checkpoints left behind: %v", left)
	}
}

func TestRecoverRefuses(t *testing.T) {
	model, _ := tinyModel(t, 512)
	dir := t.TempDir()
	short := filepath.Join(dir, "short.txt")
	if err := os.WriteFile(short, []byte(strings.Repeat("the bear ", 60)), 0o600); err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(dir, "o.gguf")
	base := []string{"recover", "--model", model, "--cache-dir", filepath.Join(dir, "cache"), "-o", output}
	with := func(args ...string) []string { return append(append([]string{}, base...), args...) }
	program.CheckRefused(t, "ratio", with("--ratio", "0")...)
	program.CheckRefused(t, "ratio", with("--ratio", "0.999")...)
	program.CheckRefused(t, "--minutes", with("--ratio", "0.2", "--minutes=-1")...)
	program.CheckRefused(t, "--minutes", with("--ratio", "0.2", "--minutes=NaN")...)
	program.CheckRefused(t, "--learning-rate", with("--ratio", "0.2", "--learning-rate=-1")...)
	program.CheckRefused(t, "train", with("--ratio", "0.2", "--train", "x")...)
	program.CheckRefused(t, "missing.txt", with("--ratio", "0.2", "--calibration", filepath.Join(dir, "missing.txt"))...)
	program.CheckRefused(t, "short.txt", with("--ratio", "0.2", "--calibration", short, "--calibration-tokens", "256")...)
	if _, err := os.Stat(output); !os.IsNotExist(err) {
		t.Errorf("output left behind: %v", err)
	}
}

// A server trains its startup variant while that one answers, then serves the trained variant. The next server finds it in the
// cache.
func TestServeRecovers(t *testing.T) {
	model, text := tinyModel(t, 128)
	args := []string{"--model", model, "--ratio", "0.2", "--calibration", text, "--calibration-tokens", "1024", "--cache-dir", t.TempDir(),
		"--recover-minutes", "0.1", "--recover-text-tokens", "4096", "--recover-learning-rate", "0.0001", "--ctx", "64", "--while-pruning", "wait"}
	s := program.Start(t, args...)
	s.WaitReady(recoverLimit)
	training := 0
	s.WaitFor("a training runs", recoverLimit, func() bool { training = program.ChildWith(s.Cmd.Process.Pid, "training"); return training != 0 })
	api := program.Client(s.Base)
	s.WaitFor("the training pauses during a request", time.Minute, func() bool {
		if _, err := api.Chat.Completions.New(t.Context(), program.Question("default")); err != nil {
			t.Fatal(err)
		}
		return program.State(training) == "T" // it pauses for a second after a request
	})
	recovered := func() bool { _, body := s.Get("/v1/models"); return strings.Contains(body, `"recovery":{"tokens":`) }
	s.WaitFor("the trained variant answers", recoverLimit, recovered)
	s.Stop()
	s = program.Start(t, args...)
	s.WaitReady(recoverLimit)
	if !recovered() {
		t.Error("the next server does not begin with the trained variant")
	}
	s.Stop()
}

// health is what /readyz says.
func health(s *program.Instance) (h openapi.Health) {
	if _, body := s.Get("/readyz"); json.Unmarshal([]byte(body), &h) != nil {
		return openapi.Health{}
	}
	return h
}

// A server begins with the quick stage. If it is killed, the next server continues from its cache, and no request fails. Each
// answer names its file, and the same file gives the same text. The third server begins with the last file and computes
// nothing.
func TestServeImproves(t *testing.T) {
	model, text := tinyModel(t, 128)
	args := []string{"--model", model, "--ratio", "0.2", "--calibration", text, "--calibration-tokens", "4096", "--refit-tokens", "8192",
		"--cache-dir", t.TempDir(), "--improve", "5s", "--recover-text-tokens", "4096", "--recover-learning-rate", "0.0001", "--ctx", "64",
		"--while-pruning", "wait"}
	s := program.Start(t, args...)
	s.WaitReady(recoverLimit)
	if h := health(s); h.Stage != "quick" || !strings.HasPrefix(h.Next, "refined, ") {
		t.Errorf("readyz begins with %+v, want the quick stage and the refined one next", h)
	}
	if err := s.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Exited

	s = program.Start(t, args...)
	s.WaitReady(recoverLimit)
	api := program.Client(s.Base)
	texts, asked := map[string]string{}, time.Time{}
	s.WaitFor("every stage is tried", 2*recoverLimit, func() bool {
		if time.Since(asked) < 4*time.Second { // the work on stages stops during requests, and for a second after them
			return health(s).Next == "" && strings.Contains(s.Stderr.String(), "stage=healed answers=")
		}
		asked = time.Now()
		var header *http.Response
		answer, err := api.Chat.Completions.New(t.Context(), program.Question("default"), option.WithResponseInto(&header))
		if err != nil {
			t.Fatal(err)
		}
		digest, said := header.Header.Get("x-prunellm-digest"), answer.Choices[0].Message.Content
		if before, known := texts[digest]; digest == "" || known && before != said {
			t.Errorf("file %q wrote %q, and then %q with the same seed", digest, before, said)
		}
		texts[digest] = said
		return false
	})
	final := health(s)
	log := s.Stderr.String()
	for _, stage := range []string{"refined", "healed"} {
		if !strings.Contains(log, "stage="+stage+" answers=") {
			t.Errorf("stage %s is not compared with what answers", stage)
		}
	}
	if replaced := strings.Count(log, "variant replaced"); replaced != strings.Count(log, "better=true kl_before=") || len(texts) < 1+min(replaced, 1) {
		t.Errorf("%d replacements, %d files that answered; want one for each better stage", replaced, len(texts))
	}
	s.Stop()

	s = program.Start(t, args...)
	s.WaitReady(recoverLimit)
	s.WaitFor("nothing is left to do", recoverLimit, func() bool { return health(s).Next == "" })
	if h := health(s); h.Stage != final.Stage || s.Metric("prunellm_score_passes_total") != 0 {
		t.Errorf("the next server begins with %+v, want %+v and nothing computed", h, final)
	}
	s.Stop()
}

// The time of an improvement is checked, and given once.
func TestImproveRefuses(t *testing.T) {
	for _, value := range []string{"yes", "-1m", "1000h"} {
		program.CheckRefused(t, "--improve", "serve", "--improve="+value, "--addr", program.FreeAddr(t), "--cache-dir", t.TempDir())
	}
	program.CheckRefused(t, "--recover-minutes", "serve", "--improve", "on", "--recover-minutes", "5", "--addr", program.FreeAddr(t), "--cache-dir", t.TempDir())
}
