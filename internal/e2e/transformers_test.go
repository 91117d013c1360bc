package e2e

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/convert/hffolder"
	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// transformersScript prints, for each text, the token ids and the logits after each token.
const transformersScript = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, texts = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=True)
model.eval()
answers = []
for text in texts:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    answers.append({"ids": ids, "logits": logits.tolist(), "decoded": tokenizer.decode(ids)})
chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)
print(json.dumps({"answers": answers, "chat": chat}))
`

type transformersReport struct {
	Answers []struct {
		IDs     []infer.Token
		Logits  [][]float32
		Decoded string
	}
	Chat string
}

// transformersPython returns the interpreter of scripts/check/transformers. Without it, it skips the test.
func transformersPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("PRUNELLM_TRANSFORMERS")
	if python == "" {
		t.Skip("PRUNELLM_TRANSFORMERS names no Python with transformers: run scripts/check/transformers")
	}
	return python
}

func runTransformers(t *testing.T, folder string, texts []string) transformersReport {
	t.Helper()
	wanted, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), transformersPython(t), "-c", transformersScript, folder, string(wanted))
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("transformers on %s: %v", folder, err)
	}
	var report transformersReport
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// checkAgainstEngine checks that transformers on the folder has the same tokens and logits as the serving engine on the GGUF
// file.
func checkAgainstEngine(t *testing.T, folder, file string, texts []string, tolerance float64) {
	t.Helper()
	report := runTransformers(t, folder, texts)
	model, err := llamacpp.Open(t.Context(), file, llamacpp.Options{ContextSize: 256, BatchSize: 256, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	for i, text := range texts {
		answer := report.Answers[i]
		tokens, err := model.Tokenize(text, false, true)
		if err != nil || !slices.Equal(tokens, answer.IDs) {
			t.Errorf("%q gives the tokens %v (%v), transformers %v", text, tokens, err, answer.IDs)
			continue
		}
		if answer.Decoded != text {
			t.Errorf("transformers decodes %q as %q", text, answer.Decoded)
		}
		logits := logitsAfterEach(t, model, tokens)
		worst := 0.0
		for j := range tokens {
			worst = max(worst, relativeDifference(logits[j], answer.Logits[j]))
		}
		t.Logf("%.30q: %d tokens, largest relative difference of logits %.2e", text, len(tokens), worst)
		if !(worst < tolerance) {
			t.Errorf("%q: logits differ by %g of their standard deviation, want less than %g", text, worst, tolerance)
		}
	}
}

// relativeDifference returns the root mean square of the difference, divided by the standard deviation of want.
func relativeDifference(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var sum, squares, diff float64
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		sum, squares, diff = sum+w, squares+w*w, diff+(g-w)*(g-w)
	}
	n := float64(len(want))
	return math.Sqrt(diff/n) / math.Sqrt(squares/n-sum*sum/n/n)
}

// engineTolerance allows for llama.cpp's float16 in attention; see models/llama.
const engineTolerance = 2e-2

// A folder of each architecture loads in transformers and gives the engine's logits, also after it is converted back to GGUF.
func TestFoldersLoadInTransformers(t *testing.T) {
	transformersPython(t)
	texts := []string{"the bear said hello in 1999", "  two  spaces\nand\n\na line; 3.14159 don't WON'T éß 你好 🙂", "<|im_start|>user\nhi<|im_end|>\n"}
	tests := tinymodel.PerArchitecture()
	maps.Copy(tests, map[string]tinymodel.Options{
		"f32":       {},
		"untied":    {Untied: true, Type: gguf.BF16},
		"wide head": {HeadDim: 32},
		"linear":    {RoPEFactors: []float32{4, 4, 4, 4, 4, 4, 4, 4}},
		"unrotated": {Architecture: "smollm3", Layers: 5},
	})
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			options.FFN = slices.Repeat([]int{96}, options.Config().Layers) // config.json has one width
			if options.Architecture != "" && !options.Untied {
				options.Type = gguf.F16
			}
			dir := t.TempDir()
			path, folder, back := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "tiny"), filepath.Join(dir, "back.gguf")
			if err := tinymodel.Write(path, options); err != nil {
				t.Fatal(err)
			}
			model, err := models.OpenGGUF(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer model.Close()
			kind := options.Type
			if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: kind}); err != nil {
				t.Fatal(err)
			}
			checkAgainstEngine(t, folder, path, texts, engineTolerance)
			if err := hffolder.ToGGUF(t.Context(), folder, back); err != nil {
				t.Fatal(err)
			}
			checkAgainstEngine(t, folder, back, texts, engineTolerance)
			if report := runTransformers(t, folder, []string{}); report.Chat != "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n" {
				t.Errorf("chat template in transformers gives %q", report.Chat)
			}
		})
	}
}

// A folder with an MLP width per layer gives the engine's logits for the same widths.
func TestPerLayerFoldersLoadInTransformers(t *testing.T) {
	transformersPython(t)
	for name, made := range perLayerFolders(t) {
		t.Run(name, func(t *testing.T) {
			checkAgainstEngine(t, made.folder, made.file, []string{"the bear said hello in 1999", "  two  spaces\nand\n\na line"}, engineTolerance)
		})
	}
}

// madeFolder is a GGUF file and the safetensors folder written from it.
type madeFolder struct{ file, folder string }

// perLayerFolders prunes a random model of every architecture to two different MLP widths and returns the folders by
// architecture. An architecture that has no such folder must be refused.
func perLayerFolders(t *testing.T) map[string]madeFolder {
	t.Helper()
	made := map[string]madeFolder{}
	for _, row := range arch.Rows() {
		if row.PerLayer == "" {
			continue
		}
		dir := t.TempDir()
		dense, slim := filepath.Join(dir, "dense.gguf"), filepath.Join(dir, "slim.gguf")
		if err := tinymodel.Write(dense, tinymodel.Options{Architecture: row.Name, Hidden: 128, FFN: []int{128, 128}}); err != nil {
			t.Fatal(err)
		}
		model := openModel(t, dense)
		kept := [][]int{make([]int, 96), make([]int, 32)}
		for _, layer := range kept {
			for i := range layer {
				layer[i] = i
			}
		}
		if _, err := convert.Slim(t.Context(), model, slim, convert.Options{Kept: kept}); err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(dir, "slim")
		err := hffolder.FromGGUF(t.Context(), openModel(t, slim), folder, hffolder.Options{Type: gguf.F32})
		if !row.InFolder().PerLayerFolder {
			if !errors.Is(err, models.ErrUnsupported) {
				t.Errorf("%s with a width per layer: %v, want %v", row.Name, err, models.ErrUnsupported)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		made[row.Name] = madeFolder{slim, folder}
	}
	return made
}

// exportFolder writes the folder of a GGUF file.
func exportFolder(t *testing.T, made madeFolder) {
	t.Helper()
	if err := hffolder.FromGGUF(t.Context(), openModel(t, made.file), made.folder, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
}

func openModel(t *testing.T, path string) *models.GGUF {
	t.Helper()
	model, err := models.OpenGGUF(path, ggmlquant.Dequantize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	return model
}

// The default model as a folder, with the real vocabulary.
func TestRealFolderLoadsInTransformers(t *testing.T) {
	transformersPython(t)
	dir := t.TempDir()
	model, err := models.OpenGGUF(program.DefaultModel(t), ggmlquant.Dequantize)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	codec := convert.Codec{Dequantize: ggmlquant.Dequantize, Quantize: ggmlquant.Quantize}
	folder, path := filepath.Join(dir, "real"), filepath.Join(dir, "real.gguf")
	if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32, Codec: codec}); err != nil {
		t.Fatal(err)
	}
	if err := hffolder.ToGGUF(t.Context(), folder, path); err != nil {
		t.Fatal(err)
	}
	checkAgainstEngine(t, folder, path, []string{
		"The river runs past the old mill, and in spring its water turns the wheel again.",
		"In 1999, 12,345 bears didn't cross\n\n  the  road: éß 你好 🙂 x=3.14e-5;\tdef f(a): return a+1",
	}, engineTolerance)
}
