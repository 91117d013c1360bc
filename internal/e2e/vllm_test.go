package e2e

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// vllmScript prints, for each text, its token ids and the greedy answer. For each token of both except the very first, it also
// prints the 20 likeliest tokens at that place with their log probabilities.
const vllmScript = `
import json, os, sys
from vllm import LLM, SamplingParams

def table(entries):
    return [[{"id": id, "logprob": e.logprob} for id, e in (at or {}).items()] for at in entries]

if __name__ == "__main__":
    folder, texts, tokens, out = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    model = LLM(model=folder, dtype="float32", max_model_len=256, enforce_eager=True, trust_remote_code=True)
    params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True, logprobs=20, prompt_logprobs=20)
    answers = []
    for result in model.generate(texts, params):
        first = result.outputs[0]
        answers.append({"ids": result.prompt_token_ids, "prompt": table(result.prompt_logprobs), "answer": list(first.token_ids),
                        "text": first.text, "steps": table(first.logprobs)})
    with open(out, "w") as f:
        json.dump(answers, f)
`

type vllmAnswer struct {
	IDs    []infer.Token
	Prompt [][]likelyToken
	Answer []infer.Token
	Text   string
	Steps  [][]likelyToken
}

type likelyToken struct {
	ID      infer.Token
	Logprob float64
}

// vllmTolerance bounds the difference of a token's log probability in nats, if the engine has only the KV cache in float16.
const vllmTolerance = 0.05

// vllmPython returns the interpreter of scripts/check/vllm. Without it, it skips the test.
func vllmPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("PRUNELLM_VLLM_PYTHON")
	if python == "" {
		t.Skip("PRUNELLM_VLLM_PYTHON names no Python with vLLM: run scripts/check/vllm")
	}
	return python
}

func vllmEnvironment() []string {
	return append(os.Environ(), "HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "VLLM_CPU_KVCACHE_SPACE=1", "VLLM_LOGGING_LEVEL=WARNING")
}

func runVLLM(t *testing.T, folder string, texts []string, tokens int) []vllmAnswer {
	t.Helper()
	wanted, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	// The script must be a file, because vLLM's workers import the main module again.
	script, out := filepath.Join(t.TempDir(), "run.py"), filepath.Join(t.TempDir(), "answers.json")
	if err := os.WriteFile(script, []byte(vllmScript), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), vllmPython(t), script, folder, string(wanted), jsonNumber(tokens), out)
	cmd.Env = vllmEnvironment()
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("vLLM on %s: %v\n%s", folder, err, log)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var answers []vllmAnswer
	if err := json.Unmarshal(data, &answers); err != nil || len(answers) != len(texts) {
		t.Fatalf("vLLM gives %d answers for %d texts, %v", len(answers), len(texts), err)
	}
	return answers
}

func jsonNumber(n int) string {
	data, _ := json.Marshal(n)
	return string(data)
}

// checkVLLM checks that vLLM on the folder has the engine's tokens, its log probabilities within vllmTolerance, and the same
// greedy answer. An answer may differ only from a step whose two best tokens are closer than vllmTolerance.
func checkVLLM(t *testing.T, made madeFolder, texts []string, tokens int) {
	t.Helper()
	model, err := llamacpp.Open(t.Context(), made.file, llamacpp.Options{ContextSize: 256, BatchSize: 256, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	same, worst := 0, 0.0
	for i, answer := range runVLLM(t, made.folder, texts, tokens) {
		want, err := model.Tokenize(texts[i], true, true)
		if err != nil || !slices.Equal(want, answer.IDs) {
			t.Errorf("%q gives the tokens %v (%v), vLLM %v", texts[i], want, err, answer.IDs)
			continue
		}
		whole := slices.Concat(want, answer.Answer)
		logits := logitsAfterEach(t, model, whole[:len(whole)-1])
		for j, likely := range answer.Prompt[1:] { // the first token has no probability
			worst = max(worst, largestDifference(logits[j], likely))
		}
		equal := true
		for j, token := range answer.Answer {
			at := logits[len(want)-1+j]
			worst = max(worst, largestDifference(at, answer.Steps[j]))
			if best := argmax(at); best != token {
				equal = false
				if gap := float64(at[best] - at[token]); gap > vllmTolerance {
					t.Errorf("%q: token %d of vLLM's answer is %d, the engine's is %d, better by %.3f nats", texts[i], j, token, best, gap)
				}
				break // the texts differ from here on
			}
		}
		if equal {
			same++
		}
	}
	t.Logf("%d of %d greedy answers of %d tokens are the same; log probabilities differ by at most %.1e nats", same, len(texts), tokens, worst)
	if !(worst < vllmTolerance) {
		t.Errorf("log probabilities differ by up to %g nats, want less than %g", worst, vllmTolerance)
	}
}

// logitsAfterEach returns the engine's logits after each token.
func logitsAfterEach(t *testing.T, model *llamacpp.Model, tokens []infer.Token) [][]float32 {
	t.Helper()
	entries := make([]infer.Entry, len(tokens))
	for i, token := range tokens {
		entries[i] = infer.Entry{Token: token, Position: i, Logits: true}
	}
	if err := model.SequenceRemove(0, 0, -1); err != nil {
		t.Fatal(err)
	}
	if err := model.Decode(entries); err != nil {
		t.Fatal(err)
	}
	logits := make([][]float32, len(tokens))
	for i := range tokens {
		logits[i] = slices.Clone(model.Logits(i))
	}
	return logits
}

// largestDifference returns the largest difference between log probabilities and those computed from logits.
func largestDifference(logits []float32, likely []likelyToken) float64 {
	top, sum := float64(slices.Max(logits)), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	worst := 0.0
	for _, token := range likely {
		worst = max(worst, math.Abs(float64(logits[token.ID])-top-math.Log(sum)-token.Logprob))
	}
	return worst
}

func argmax(values []float32) infer.Token {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return infer.Token(best)
}

// Folders of every architecture, with one width and with a width per layer, give the engine's log probabilities in vLLM.
func TestFoldersLoadInVLLM(t *testing.T) {
	vllmPython(t)
	texts := []string{"the bear said hello in 1999", "  two  spaces\nand\n\na line"}
	made := perLayerFolders(t)
	for name, options := range tinymodel.PerArchitecture() {
		if options.Untied || len(options.FFN) > 0 {
			continue
		}
		options.Hidden = 128 // vLLM's attention needs heads of 32
		made[name+" uniform"] = writeFolder(t, options)
	}
	for name, folder := range made {
		t.Run(name, func(t *testing.T) { checkVLLM(t, folder, texts, 8) })
	}
}

// The pruned default model answers 20 prompts from both kinds of folder. vLLM's OpenAI server then serves the second one, and
// `prunellm bench` measures it.
func TestPrunedModelInVLLM(t *testing.T) {
	vllmPython(t)
	dir := t.TempDir()
	for _, budget := range []string{"uniform", "global"} {
		t.Run(budget, func(t *testing.T) {
			made := madeFolder{file: filepath.Join(dir, budget+".gguf"), folder: filepath.Join(dir, "Pruned-"+budget)}
			args := []string{"prune", "--model", program.DefaultModel(t), "--ratio", "0.2", "--budget", budget, "--file-type", "f16"}
			for _, output := range [][]string{{"-o", made.file}, {"-o", made.folder, "--format", "safetensors"}} {
				if r := program.Command(t, program.ColdLimit, append(args, output...)...); r.Status != 0 {
					t.Fatalf("prune: status %d\n%s", r.Status, r.Stderr)
				}
			}
			// The engine multiplies float16 weights by activations in float16, which changes some tokens by up to a nat. With
			// the same weights in float32, only the KV cache is in float16.
			wide := filepath.Join(dir, budget+".f32.gguf")
			if r := program.Command(t, program.ColdLimit, "prune", "--model", made.file, "--ratio", "0", "--file-type", "f32", "-o", wide); r.Status != 0 {
				t.Fatalf("prune: status %d\n%s", r.Status, r.Stderr)
			}
			made.file = wide
			checkVLLM(t, made, vllmPrompts, 24)
		})
	}
	addr := program.FreeAddr(t)
	host, port, _ := strings.Cut(addr, ":")
	serve := exec.Command(filepath.Join(filepath.Dir(vllmPython(t)), "vllm"), "serve", filepath.Join(dir, "Pruned-global"),
		"--trust-remote-code", "--served-model-name", "pruned", "--host", host, "--port", port, "--max-model-len", "1024", "--enforce-eager")
	serve.Env = vllmEnvironment()
	s := program.Watch(t, serve, addr)
	s.WaitFor("vLLM is ready", program.ColdLimit, func() bool { status, _ := s.Get("/health"); return status == 200 })
	api := program.Client(s.Base)
	params := program.Question("pruned")
	params.MaxTokens = openai.Int(16)
	response, err := api.Chat.Completions.New(t.Context(), params)
	if err != nil || response.Usage.CompletionTokens == 0 {
		t.Fatalf("chat: %v, %+v", err, response)
	}
	r := program.Command(t, program.ColdLimit, "bench", "--url", "vllm="+s.Base+"/v1", "--streams", "1,2", "--requests", "2", "--rounds", "1",
		"--prompt-words", "50", "--answer-tokens", "16")
	if r.Status != 0 {
		t.Fatalf("bench: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	t.Logf("bench:\n%s", r.Stdout)
	_ = serve.Process.Signal(os.Interrupt)
	select {
	case <-s.Exited:
	case <-time.After(program.WarmLimit):
	}
}

// writeFolder writes a random model and its folder.
func writeFolder(t *testing.T, options tinymodel.Options) madeFolder {
	t.Helper()
	dir := t.TempDir()
	made := madeFolder{filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "tiny")}
	if err := tinymodel.Write(made.file, options); err != nil {
		t.Fatal(err)
	}
	exportFolder(t, made)
	return made
}

// vllmPrompts are 20 prompts of different kinds.
var vllmPrompts = []string{
	"The capital of France is", "def fibonacci(n):\n", "Once upon a time there was a", "The three primary colours are",
	"Water boils at", "In 1969 the first", "SELECT name, age FROM", "Dear Sir or Madam,\n", "The recipe needs two eggs,",
	"To be or not to be,", "A triangle has three", "import numpy as np\n", "The main causes of the war were",
	"Q: What is the largest planet?\nA:", "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n", "{\"name\": \"Ada\",",
	"She opened the door and", "The quick brown fox", "According to the report,", "1, 2, 3, 4,",
}
