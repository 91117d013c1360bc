//go:build cgo

package convert_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ollama/ollama/llama"
	"github.com/ollama/ollama/ml"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

var codec = convert.Codec{Dequantize: ggmlquant.Dequantize, Quantize: ggmlquant.Quantize}

// defaultModel returns the path of the model that `make setup` fetches.
func defaultModel(t testing.TB) string {
	t.Helper()
	path, err := models.Resolve(context.Background(), models.DefaultRef, os.Getenv("PRUNELLM_HOME"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// random selects widths[i] neurons of layer i.
func random(seed uint64, ffn, widths []int) [][]int {
	source := rand.New(rand.NewPCG(seed, 2))
	kept := make([][]int, len(widths))
	for layer, width := range widths {
		kept[layer] = source.Perm(ffn[layer])[:width]
		slices.Sort(kept[layer])
	}
	return kept
}

// decode loads the file with llama.cpp and returns the logits after the text.
func decode(t *testing.T, path, text string) []float32 {
	t.Helper()
	llama.BackendInit()
	model, err := llama.LoadModelFromFile(path, llama.ModelParams{UseMmap: true})
	if err != nil {
		t.Fatalf("load %s: %v", path, err)
	}
	defer llama.FreeModel(model)
	context, err := llama.NewContextWithModel(model, llama.NewContextParams(256, 64, 1, 1, ml.FlashAttentionDisabled, "f32"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := model.Tokenize(text, false, true)
	if err != nil || len(tokens) < 2 {
		t.Fatalf("tokenize %q: %v, %v", text, tokens, err)
	}
	batch, err := llama.NewBatch(64, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Free()
	for i, token := range tokens {
		batch.Add(token, nil, i, i == len(tokens)-1, 0)
	}
	if err := context.Decode(batch); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(context.GetLogitsIth(len(tokens) - 1))
}

// relative returns the root mean square of b - a divided by a's standard deviation.
func relative(a, b []float32) float64 {
	var sum, squares, diff float64
	for i := range a {
		v, d := float64(a[i]), float64(b[i])-float64(a[i])
		sum += v
		squares += v * v
		diff += d * d
	}
	n := float64(len(a))
	return math.Sqrt(diff / (squares - sum*sum/n))
}

const prompt = "<|im_start|>user\nthe bear and the sea<|im_end|>\n"

func TestSlimModelsLoadInLlamaCpp(t *testing.T) {
	type test struct {
		options tinymodel.Options
		widths  []int
		arch    string
	}
	tests := map[string]test{
		"untied":  {tinymodel.Options{Untied: true, Type: gguf.F16}, []int{32, 64}, "deci"},
		"factors": {tinymodel.Options{RoPEFactors: []float32{1, 1, 1, 2, 4, 8, 8, 8}}, []int{64, 32}, "deci"},
	}
	for name, options := range tinymodel.PerArchitecture() {
		row, _ := arch.Named(options.Architecture)
		tests[name+" uniform"] = test{options, []int{32, 32}, row.Name}
		if convert.TakesWidths(options.Config()) {
			options.FFN = []int{96, 64}
			tests[name+" per layer"] = test{options, []int{64, 32}, row.PerLayer}
			options.FFN = nil
			tests[name+" one dense"] = test{options, []int{96, 32}, row.PerLayer}
		} else {
			tests[name+" wider"] = test{options, []int{64, 64}, row.Name}
		}
	}
	for name, test := range tests {
		for _, fileType := range []convert.FileType{convert.Keep, "q8_0", "q4_k"} {
			t.Run(name+" "+string(fileType), func(t *testing.T) {
				dir := t.TempDir()
				dense, slim := filepath.Join(dir, "dense.gguf"), filepath.Join(dir, "slim.gguf")
				if err := tinymodel.Write(dense, test.options); err != nil {
					t.Fatal(err)
				}
				source := openWith(t, dense, ggmlquant.Dequantize)
				result, err := convert.Slim(t.Context(), source, slim, convert.Options{
					Kept: random(1, source.Config().FFN, test.widths), FileType: fileType, Codec: codec,
				})
				if err != nil {
					t.Fatal(err)
				}
				if result.Config.Architecture != test.arch || !slices.Equal(result.Config.FFN, test.widths) {
					t.Errorf("config is %+v", result.Config)
				}
				if reread := openWith(t, slim, ggmlquant.Dequantize); !slices.Equal(reread.Config().FFN, test.widths) {
					t.Errorf("read back: %+v", reread.Config())
				}
				for _, v := range decode(t, slim, prompt) {
					if v-v != 0 {
						t.Fatalf("logit %g", v)
					}
				}
			})
		}
	}
}

// The architecture that holds per-layer widths gives the same logits for the same weights as the dense model's
// architecture.
func TestPerLayerArchitectureComputesTheSame(t *testing.T) {
	paths := map[string]string{}
	for name, options := range tinymodel.PerArchitecture() {
		row, _ := arch.Named(options.Architecture)
		if row.PerLayer == row.Name || !convert.TakesWidths(options.Config()) {
			continue
		}
		if row.RoPEFactors {
			options.RoPEFactors = slices.Repeat([]float32{1, 1, 2, 4}, options.Config().HeadDim/8)
		}
		paths[name] = tiny(t, options)
	}
	for _, path := range filepath.SplitList(os.Getenv("PRUNELLM_TEST_MODELS")) { // set by scripts/test-models
		paths[filepath.Base(path)] = path
	}
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			source := openWith(t, path, ggmlquant.Dequantize)
			row, _ := arch.Named(source.Config().Architecture)
			logits := map[string][]float32{}
			for _, name := range []string{row.Name, row.PerLayer} {
				copied := filepath.Join(t.TempDir(), name+".gguf")
				// The copies are floats, because quantized matmuls round activations and so amplify differences in the
				// last bits.
				if err := convert.SlimAs(t.Context(), source, copied, name, convert.Options{Codec: codec, FileType: "f32"}); err != nil {
					t.Fatal(err)
				}
				logits[name] = decode(t, copied, prompt)
			}
			// Summing over a head in another order changes the last bits of the attention scores, and llama.cpp rounds
			// softmax weights to float16. A wrong order gives at least 0.5.
			tolerance := 0.0
			if other, _ := arch.Named(row.PerLayer); other.RoPE != row.RoPE {
				tolerance = 1e-2
			}
			d := relative(logits[row.Name], logits[row.PerLayer])
			t.Logf("logits as %s and %s differ by %.1e of their deviation", row.Name, row.PerLayer, d)
			if !(d <= tolerance) {
				t.Errorf("logits differ by %g of their deviation, want at most %g", d, tolerance)
			}
		})
	}
}

func TestSlimDefaultModel(t *testing.T) {
	source := openWith(t, defaultModel(t), ggmlquant.Dequantize)
	config := source.Config()
	if source.ServedName() != "smollm2-135m-instruct" {
		t.Errorf("served as %q", source.ServedName())
	}
	global := make([]int, config.Layers)
	for i := range global {
		global[i] = 256 + 64*(i%20)
	}
	tests := map[string]struct {
		widths   []int
		fileType convert.FileType
	}{
		"uniform keep":   {slices.Repeat([]int{1024}, config.Layers), convert.Keep},
		"uniform q8_0":   {slices.Repeat([]int{1024}, config.Layers), "q8_0"},
		"per layer q4_0": {global, "q4_0"},
		"dense q8_0":     {nil, "q8_0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "slim.gguf")
			options := convert.Options{FileType: test.fileType, Codec: codec}
			if test.widths != nil {
				options.Kept = random(3, config.FFN, test.widths)
			}
			start := time.Now()
			result, err := convert.Slim(t.Context(), source, path, options)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes in %v, ratio %.4f", result.SizeBytes, time.Since(start), result.Provenance.RatioReached)
			for _, v := range decode(t, path, "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n") {
				if v-v != 0 {
					t.Fatalf("logit %g", v)
				}
			}
			report, faults := convert.Inspect(t.Context(), path, ggmlquant.Dequantize)
			if len(faults) > 0 || report.ScannedBytes != report.WeightBytes {
				t.Errorf("faults: %q, %d of %d bytes scanned", faults, report.ScannedBytes, report.WeightBytes)
			}
		})
	}
}

// A block whose scale is not finite has no finite values.
func TestInspectFindsNaNInBlocks(t *testing.T) {
	path := tiny(t, tinymodel.Options{Type: gguf.Q8_0, Quantize: func(kind gguf.Type, values []float32, rowLen int) ([]byte, error) {
		raw, err := ggmlquant.Quantize(kind, values, rowLen)
		if err == nil && len(values) == 64*96 {
			raw[34*5], raw[34*5+1] = 0x00, 0x7e // the float16 scale of block 5
		}
		return raw, err
	}})
	_, faults := convert.Inspect(t.Context(), path, ggmlquant.Dequantize)
	if len(faults) != 6 || faults[0] != `tensor "blk.0.ffn_gate.weight": value 160 is NaN or infinite` {
		t.Errorf("faults are %q", faults)
	}
}

func BenchmarkInspect(b *testing.B) {
	path := defaultModel(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, faults := convert.Inspect(b.Context(), path, ggmlquant.Dequantize); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}

func BenchmarkSlim(b *testing.B) {
	source := openWith(b, defaultModel(b), ggmlquant.Dequantize)
	config := source.Config()
	for _, fileType := range []convert.FileType{convert.Keep, "q8_0", "q4_0", "f16"} {
		b.Run(string(fileType), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "slim.gguf")
			options := convert.Options{Kept: random(3, config.FFN, slices.Repeat([]int{1024}, config.Layers)), FileType: fileType, Codec: codec}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := convert.Slim(b.Context(), source, path, options); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// If q, k and v have different types, the fused tensor has the one with most bits, and no value changes.
func TestFusedTypes(t *testing.T) {
	path := tiny(t, tinymodel.Options{Architecture: "qwen3", Hidden: 256, FFN: []int{256, 256}, Type: gguf.Q4_K, Quantize: ggmlquant.Quantize})
	mixed := filepath.Join(t.TempDir(), "mixed.gguf")
	source := openWith(t, path, ggmlquant.Dequantize)
	writeWith(t, source.File(), mixed, "blk.0.attn_v.weight", gguf.Q6_K)
	source = openWith(t, mixed, ggmlquant.Dequantize)
	fused := filepath.Join(t.TempDir(), "fused.gguf")
	result, err := convert.Slim(t.Context(), source, fused, convert.Options{Kept: random(1, source.Config().FFN, []int{64, 32}), Codec: codec})
	if err != nil || result.Config.Architecture != "openelm" {
		t.Fatalf("architecture %q, %v", result.Config.Architecture, err)
	}
	out := openWith(t, fused, ggmlquant.Dequantize)
	for layer, want := range []gguf.Type{gguf.Q6_K, gguf.Q4_K} {
		info, ok := out.File().Tensor(fmt.Sprintf("blk.%d.attn_qkv.weight", layer))
		if !ok || info.Type != want {
			t.Errorf("layer %d: type %s, want %s", layer, info.Type, want)
		}
		for _, role := range []models.Role{models.AttnQ, models.AttnK, models.AttnV} {
			before, _, err := source.Tensor(role, layer)
			if err != nil {
				t.Fatal(err)
			}
			after, _, err := out.Tensor(role, layer)
			if err != nil {
				t.Fatal(err)
			}
			if d := relative(before, after); !(d < 2e-2) {
				t.Errorf("layer %d: %s differs by %g of its deviation", layer, models.TensorName(role, layer), d)
			}
		}
	}
	if logits := decode(t, fused, prompt); slices.ContainsFunc(logits, func(v float32) bool { return v-v != 0 }) {
		t.Error("a logit is not finite")
	}
}

// writeWith copies a file and changes the type of one tensor.
func writeWith(t *testing.T, file *gguf.File, path, name string, kind gguf.Type) {
	t.Helper()
	var sources []gguf.Source
	for _, info := range file.Tensors {
		raw, err := file.ReadTensor(info)
		if err != nil {
			t.Fatal(err)
		}
		source := gguf.Source{Name: info.Name, Type: info.Type, Shape: info.Shape}
		if info.Name == name {
			values, err := ggmlquant.Dequantize(info.Type, raw, int(info.Elements()))
			if err != nil {
				t.Fatal(err)
			}
			if raw, err = ggmlquant.Quantize(kind, values, info.RowLength()); err != nil {
				t.Fatal(err)
			}
			source.Type = kind
		}
		source.Write = func(_ context.Context, w io.Writer) error { _, err := w.Write(raw); return err }
		sources = append(sources, source)
	}
	if err := gguf.Write(t.Context(), path, file.KVs, sources); err != nil {
		t.Fatal(err)
	}
}
