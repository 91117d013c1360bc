package convert_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
)

// mutated writes a tiny model with changed bytes.
func mutated(t *testing.T, change func(f *gguf.File, data []byte) []byte) string {
	t.Helper()
	path := tiny(t, tinymodel.Options{})
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "mutated.gguf")
	if err := os.WriteFile(out, change(f, data), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

func poke(name string, value float32) func(*gguf.File, []byte) []byte {
	return func(f *gguf.File, data []byte) []byte {
		info, _ := f.Tensor(name)
		binary.LittleEndian.PutUint32(data[f.DataOffset+info.Offset+40:], math.Float32bits(value))
		return data
	}
}

func withKey(key string, value any) func(t *testing.T) string {
	return func(t *testing.T) string {
		return tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: key, Value: value}}})
	}
}

func TestInspectFaults(t *testing.T) {
	inf := float32(math.Inf(-1))
	tests := map[string]struct {
		path func(t *testing.T) string
		want string
	}{
		"missing": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "none.gguf") }, "no such file"},
		"folder":  {func(t *testing.T) string { return t.TempDir() }, "not a regular file"},
		"empty":   {func(t *testing.T) string { return mutated(t, func(*gguf.File, []byte) []byte { return nil }) }, "not a GGUF file"},
		"truncated": {func(t *testing.T) string {
			return mutated(t, func(_ *gguf.File, d []byte) []byte { return d[:len(d)-64] })
		}, "truncated"},
		"header only": {func(t *testing.T) string {
			return mutated(t, func(f *gguf.File, d []byte) []byte { return d[:f.DataOffset] })
		}, "truncated"},
		"nan":          {func(t *testing.T) string { return mutated(t, poke("blk.1.ffn_up.weight", float32(math.NaN()))) }, `"blk.1.ffn_up.weight": value 10 is NaN or`},
		"infinity":     {func(t *testing.T) string { return mutated(t, poke("output_norm.weight", inf)) }, "value 10 is NaN or infinite"},
		"architecture": {withKey("general.architecture", "mamba"), `architecture "mamba"`},
		"layers":       {withKey("llama.block_count", uint32(3)), `"blk.2.attn_norm.weight": no such tensor`},
		"fewer layers": {withKey("llama.block_count", uint32(1)), `"blk.1.attn_norm.weight" is not part`},
		"width":        {withKey("llama.feed_forward_length", uint32(64)), `"blk.0.ffn_gate.weight" has shape [96 64] instead of [64 64]`},
		"experts":      {withKey("llama.expert_count", uint32(8)), "8 experts"},
		"tokens":       {withKey("tokenizer.ggml.tokens", []string{"a"}), "1 tokens"},
		"vocabulary":   {withKey("llama.vocab_size", uint32(100)), `"llama.vocab_size" is 100 instead of`},
		"alignment":    {withKey("general.alignment", uint32(1)), "must be a multiple of 32"},
		"share": {func(t *testing.T) string {
			return tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: "prunellm.version", Value: uint32(1)}, {Key: "prunellm.ratio", Value: 1.5}}})
		}, `"prunellm.ratio" is out of range`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report, faults := convert.Inspect(t.Context(), test.path(t), nil)
			if report == nil || len(faults) == 0 || !strings.Contains(string(faults[0]), test.want) {
				t.Fatalf("faults are %q, want the first with %q", faults, test.want)
			}
			if lines := report.Lines(); (report.Version == 0) != (len(lines) == 0) {
				t.Errorf("version %d is described by %q", report.Version, lines)
			}
			for _, fault := range faults {
				if strings.ContainsAny(string(fault), "\n\r") {
					t.Errorf("fault %q has several lines", fault)
				}
			}
		})
	}
}

// A sound file that cannot be pruned has no fault, and the report says that it can only be served.
func TestInspectServedOnly(t *testing.T) {
	for _, architecture := range tinymodel.ServedOnly() {
		path := filepath.Join(t.TempDir(), architecture+".gguf")
		if err := tinymodel.WriteServedOnly(path, architecture, 6); err != nil {
			t.Fatal(err)
		}
		report, faults := convert.Inspect(t.Context(), path, nil)
		want := `pruning: cannot be pruned: architecture "` + architecture + `"; only dense models of architecture llama,`
		if len(faults) > 0 || !slices.ContainsFunc(report.Lines(), func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("faults %q, report %q, want a line %q", faults, report.Lines(), want)
		}
	}
}

// llama.cpp rejects a file that describes its tensors in another order than their bytes, even if no bytes overlap.
func TestInspectOrder(t *testing.T) {
	path := mutated(t, func(f *gguf.File, data []byte) []byte {
		a, _ := f.Tensor("blk.0.attn_k.weight") // of the same size
		b, _ := f.Tensor("blk.0.attn_v.weight")
		for _, swap := range []struct {
			name   string
			offset int64
		}{{a.Name, b.Offset}, {b.Name, a.Offset}} {
			info, _ := f.Tensor(swap.name)
			at := strings.Index(string(data), swap.name) + len(swap.name) + 4 + 8*len(info.Shape) + 4
			binary.LittleEndian.PutUint64(data[at:], uint64(swap.offset))
		}
		return data
	})
	if _, faults := convert.Inspect(t.Context(), path, nil); len(faults) == 0 || !strings.Contains(string(faults[0]), "in another order") {
		t.Errorf("faults are %q", faults)
	}
}

func TestInspectReport(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{Type: gguf.F16}))
	out, _ := slim(t, source, convert.Options{Kept: [][]int{upTo(32), upTo(64)}, Provenance: convert.Provenance{Ratio: 0.4, Criterion: "sdm"}})
	report, faults := convert.Inspect(t.Context(), out.Path(), nil)
	if len(faults) > 0 {
		t.Fatalf("faults: %q", faults)
	}
	if report.Architecture != "deci" || report.FileType != "f16" || report.Provenance == nil || report.Provenance.Criterion != "sdm" ||
		report.Parameters != out.Config().Parameters(nil) || report.ScannedBytes != report.WeightBytes || report.ScannedBytes == 0 {
		t.Errorf("report is %+v", report)
	}
	text := strings.Join(report.Lines(), "\n")
	for _, want := range []string{"widths: 32 64", "type f16: 15 tensors", "0.4 requested", "architecture \"deci\""} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	dense, faults := convert.Inspect(t.Context(), source.Path(), nil)
	if len(faults) > 0 || dense.Provenance != nil || !strings.Contains(strings.Join(dense.Lines(), "\n"), "widths: 96 in all layers") {
		t.Errorf("dense: %q, %+v", faults, dense)
	}
}

// Inspect reports a fault for every file that Slim rejects. Changing one byte crashes neither.
func FuzzInspect(f *testing.F) {
	dir := f.TempDir()
	base := filepath.Join(dir, "base.gguf")
	if err := tinymodel.Write(base, tinymodel.Options{Type: gguf.F16, FFN: []int{32}, Layers: 1, Hidden: 32, Heads: 2, KVHeads: 1}); err != nil {
		f.Fatal(err)
	}
	original, err := os.ReadFile(base)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(8), uint64(3))
	f.Add(uint32(100), uint64(1<<40))
	f.Add(uint32(len(original)-100), uint64(math.MaxUint64))
	path := filepath.Join(dir, "fuzz.gguf")
	f.Fuzz(func(t *testing.T, at uint32, value uint64) {
		data := append([]byte{}, original...)
		binary.LittleEndian.PutUint64(data[int(at)%(len(data)-8):], value)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, faults := convert.Inspect(t.Context(), path, nil)
		model, err := models.OpenGGUF(path, nil)
		if err != nil {
			if len(faults) == 0 {
				t.Fatalf("OpenGGUF gives %v, but Inspect finds no fault", err)
			}
			return
		}
		defer model.Close()
		if _, err := convert.Slim(t.Context(), model, filepath.Join(dir, "out.gguf"), convert.Options{}); err != nil {
			t.Fatalf("a model that opens cannot be copied: %v", err)
		}
	})
}
