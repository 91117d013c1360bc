package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
	"prunellm/openapi"
)

// post sends a body to a path and reads the response into into; a string gets all of it.
func post(t *testing.T, s *program.Instance, path, body string, into any) int {
	t.Helper()
	response, err := http.Post(s.Base+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := into.(*string); ok {
		*text = string(read)
	} else if err := json.Unmarshal(read, into); err != nil {
		t.Fatalf("POST %s = %d %s: %v", path, response.StatusCode, read, err)
	}
	return response.StatusCode
}

// idleSlots waits until no slot is in use, because the server measures its speed after loading, and returns the slots.
func idleSlots(t *testing.T, s *program.Instance) []openapi.Slot {
	t.Helper()
	var slots []openapi.Slot
	s.WaitFor("no slot is in use", program.WarmLimit, func() bool {
		_, body := s.Get("/slots")
		if err := json.Unmarshal([]byte(body), &slots); err != nil {
			t.Fatalf("slots %s: %v", body, err)
		}
		return !slices.ContainsFunc(slots, func(slot openapi.Slot) bool { return slot.Processing })
	})
	return slots
}

// fimTokens are the last tokens of the model of TestHabits.
var fimTokens = []string{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"}

// writeFIM writes a model whose vocabulary has the tokens.
func writeFIM(t *testing.T, path string) {
	t.Helper()
	if err := tinymodel.Write(path, tinymodel.Options{Vocab: 400}); err != nil {
		t.Fatal(err)
	}
	plain, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := plain.Strings("tokenizer.ggml.tokens")
	_ = plain.Close()
	if err != nil {
		t.Fatal(err)
	}
	tokens = slices.Clone(tokens)
	copy(tokens[len(tokens)-len(fimTokens):], fimTokens)
	if err := tinymodel.Write(path, tinymodel.Options{Vocab: 400, Keys: []gguf.KV{{Key: "tokenizer.ggml.tokens", Value: tokens}}}); err != nil {
		t.Fatal(err)
	}
}

// TestHabits starts the binary with the names and metrics of other servers, and a model that fills in the middle of texts.
func TestHabits(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny-coder.gguf")
	writeFIM(t, model)
	s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", filepath.Join(dir, "cache"), "--ctx", "256", "--parallel", "2",
		"--served-model-name", "gpt-4o,coder:latest", "--vllm-metrics")
	s.WaitReady(program.WarmLimit)

	var list openapi.ModelList
	if _, body := s.Get("/v1/models"); json.Unmarshal([]byte(body), &list) != nil || list.Data[0].ID != "gpt-4o" || list.Data[1].ID != "coder:latest" ||
		list.Data[0].MaxModelLen != 256 || list.Data[0].Meta.Vocabulary != 400 || list.Data[0].Meta.Parameters == 0 || !slices.Contains(list.Data[0].Capabilities, "insert") {
		t.Errorf("models %s", body)
	}
	var text string
	for name, status := range map[string]int{"gpt-4o": 200, "coder": 200, "coder:latest": 200, "gpt-4o@0": 200, "default": 200, "tiny-coder": 404} {
		if got := post(t, s, "/v1/completions", `{"model":"`+name+`","prompt":"a","max_tokens":1}`, &text); got != status || status == 200 && !strings.Contains(text, `"model":"gpt-4o@0"`) {
			t.Errorf("the model %s: %d %s", name, got, text)
		}
	}
	var props openapi.Props
	if _, body := s.Get("/props"); json.Unmarshal([]byte(body), &props) != nil || props.Slots != 2 || props.ModelPath != "tiny-coder.gguf" || props.ModelAlias != "gpt-4o" || props.ChatTemplate == "" {
		t.Errorf("props %s", body)
	}
	slots := idleSlots(t, s)
	if len(slots) != 2 || slots[0].CacheTokens == 0 && slots[1].CacheTokens == 0 {
		t.Errorf("slots %+v", slots)
	}

	// The control tokens of the frame are one token each: the byte-level vocabulary of the model gives their texts many.
	var filled openapi.InfillResponse
	if status := post(t, s, "/infill", `{"input_prefix":"ab","input_suffix":"cd","n_predict":4,"top_k":40,"top_p":0.9,"samplers":["top_k","top_p","infill"]}`, &filled); status != 200 {
		t.Fatalf("infill: %d", status)
	}
	var bare struct{ Tokens []int }
	post(t, s, "/tokenize", `{"content":"<|fim_prefix|>ab<|fim_suffix|>cd<|fim_middle|>","add_special":true}`, &bare)
	if filled.TokensEvaluated != len(bare.Tokens) || !slices.Contains(bare.Tokens, 399) || filled.StopType == "" {
		t.Errorf("infill %+v of %d tokens, want the %d of %v", filled, filled.TokensEvaluated, len(bare.Tokens), bare.Tokens)
	}
	var completion openapi.CompletionResponse
	if status := post(t, s, "/v1/completions", `{"prompt":"ab","suffix":"cd","max_tokens":1}`, &completion); status != 200 || completion.Usage.PromptTokens != len(bare.Tokens) {
		t.Errorf("suffix: %d %+v", status, completion)
	}
	if got := s.Metric(`vllm:prefix_cache_hits_total{model_name="gpt-4o"}`); got == 0 || got != s.Metric("prunellm_prefix_cache_hits_total") {
		t.Errorf("%g tokens came from the prompt cache, and the last prompt was there before", got)
	}
	idleSlots(t, s)
	if got := s.Metric(`vllm:num_requests_running{model_name="gpt-4o"}`); got != 0 {
		t.Errorf("%g requests run, but all have ended", got)
	}
	s.Stop()
}
