package convert_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

func every(n, step int) []int {
	var out []int
	for i := 0; i < n; i += step {
		out = append(out, i)
	}
	return out
}

func upTo(n int) []int { return every(n, 1) }

func slim(t testing.TB, source *models.GGUF, options convert.Options) (*models.GGUF, convert.Result) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slim.gguf")
	result, err := convert.Slim(context.Background(), source, path, options)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, path), result
}

// A ratio of zero changes no tensor and no key but those of the provenance.
func TestIdentity(t *testing.T) {
	tests := tinymodel.PerArchitecture()
	tests["f16"] = tinymodel.Options{Type: gguf.F16, Untied: true}
	tests["odd"] = tinymodel.Options{FFN: []int{50, 50}} // no multiple of 32: Slim keeps such a width but would not cut to it
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			source := open(t, tiny(t, options))
			ffn := source.Config().FFN
			for _, kept := range [][][]int{nil, {nil, nil}, {upTo(ffn[0]), upTo(ffn[1])}} {
				out, result := slim(t, source, convert.Options{Kept: kept})
				sameTensors(t, source.File(), out.File())
				var keys []gguf.KV
				for _, kv := range out.File().KVs {
					if !strings.HasPrefix(kv.Key, "prunellm.") && kv.Key != "general.file_type" {
						keys = append(keys, kv)
					}
				}
				if diff := cmp.Diff(source.File().KVs, keys); diff != "" {
					t.Errorf("keys: %s", diff)
				}
				if result.Provenance.RatioReached != 0 || result.Provenance.KeptMLP != 1 {
					t.Errorf("provenance is %+v", result.Provenance)
				}
			}
		})
	}
}

// Every value of the slim model equals the value of the same neuron in the dense model.
func TestGathers(t *testing.T) {
	kept := [][]int{every(96, 3), append(upTo(48), every(96, 1)[80:]...)}
	for _, row := range arch.Rows() {
		if row.PerLayer == "" {
			continue
		}
		source := open(t, tiny(t, tinymodel.Options{Architecture: row.Name}))
		out, result := slim(t, source, convert.Options{Kept: kept})
		if want := []int{32, 64}; !slices.Equal(out.Config().FFN, want) || out.Config().Architecture != row.PerLayer {
			t.Fatalf("widths %v, architecture %q", out.Config().FFN, out.Config().Architecture)
		}
		hidden := source.Config().HiddenSize
		for layer, neurons := range kept {
			for _, role := range []models.Role{models.FFNGate, models.FFNUp, models.FFNDown} {
				dense, _, err := source.Tensor(role, layer)
				if err != nil {
					t.Fatal(err)
				}
				got, shape, err := out.Tensor(role, layer)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(shape, result.Config.TensorShape(role, layer)) {
					t.Errorf("layer %d, role %d: shape %v", layer, role, shape)
				}
				for j, neuron := range neurons {
					for h := range hidden {
						a, b := got[j*hidden+h], dense[neuron*hidden+h]
						if role == models.FFNDown {
							a, b = got[h*len(neurons)+j], dense[h*96+neuron]
						}
						if a != b {
							t.Fatalf("layer %d, role %d, neuron %d: %g, want %g", layer, role, neuron, a, b)
						}
					}
				}
			}
		}
		for _, slot := range source.Config().Slots() {
			if slot.Role < models.FFNGate && moved(t, source, slot) != string(slotBytes(t, out, slot)) {
				t.Errorf("%s: tensor %q changed", row.Name, slot.Name())
			}
		}
	}
}

func slotBytes(t *testing.T, model *models.GGUF, slot models.Slot) []byte {
	t.Helper()
	info, ok := model.TensorInfo(slot)
	if !ok {
		t.Fatalf("no tensor %q", slot.Name())
	}
	raw, err := model.File().ReadTensor(info)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// moved returns a tensor's float32 bytes. If the source's RoPE layout is halves and that of its PerLayer architecture
// is pairs, it reorders the rows of q and k.
func moved(t *testing.T, source *models.GGUF, slot models.Slot) string {
	t.Helper()
	raw := slotBytes(t, source, slot)
	c := source.Config()
	heads := map[models.Role]int{
		models.AttnQ: c.Heads, models.AttnQBias: c.Heads, models.AttnK: c.KVHeads, models.AttnKBias: c.KVHeads,
	}[slot.Role]
	per, _ := arch.Named(c.Architecture)
	if per, _ = arch.Named(per.PerLayer); heads == 0 || c.RoPELayout == per.RoPE {
		return string(raw)
	}
	var out []byte
	row, half := len(raw)/(heads*c.HeadDim), c.HeadDim/2
	for head := range heads {
		for i := range c.HeadDim {
			at := (head*c.HeadDim + i/2 + i%2*half) * row
			out = append(out, raw[at:at+row]...)
		}
	}
	return string(out)
}

func TestMetadata(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{Keys: []gguf.KV{
		{Key: "prunellm.version", Value: uint32(1)}, {Key: "prunellm.tool", Value: "an older one"}, {Key: "llama.extra", Value: []bool{true}},
	}}))
	provenance := convert.Provenance{Ratio: 0.2, SourceName: "tiny", SourceDigest: "abc", Recipe: "r", Criterion: "sdm", Budget: "global", Tool: "prunellm 1"}
	out, result := slim(t, source, convert.Options{Kept: [][]int{upTo(32), upTo(64)}, Provenance: provenance})
	f := out.File()
	if got, _ := f.String("general.architecture"); got != "deci" {
		t.Errorf("architecture %q", got)
	}
	if got, _ := f.Value("deci.feed_forward_length"); !cmp.Equal(got, []int32{32, 64}) {
		t.Errorf("widths %#v", got)
	}
	if got, _ := f.Value("deci.extra"); !cmp.Equal(got, []bool{true}) {
		t.Errorf("extra key %#v", got)
	}
	for _, kv := range f.KVs {
		if strings.HasPrefix(kv.Key, "llama.") {
			t.Errorf("key %q is left", kv.Key)
		}
	}
	got, ok := convert.ReadProvenance(f)
	want := provenance
	want.Architecture = "llama"
	want.RatioReached, want.KeptMLP = 1-float64(out.Config().Parameters(nil))/float64(source.Config().Parameters(nil)), 0.5
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("provenance: %s", diff)
	}
	if diff := cmp.Diff(want, result.Provenance); diff != "" {
		t.Errorf("result: %s", diff)
	}
	uniform, _ := slim(t, source, convert.Options{Kept: [][]int{upTo(64), upTo(64)}})
	if got, _ := uniform.File().Value("llama.feed_forward_length"); got != uint32(64) {
		t.Errorf("uniform width %#v", got)
	}
	if _, ok := convert.ReadProvenance(open(t, tiny(t, tinymodel.Options{})).File()); ok {
		t.Error("a dense model has a provenance")
	}
}

func TestFileTypes(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{Type: gguf.F16, Untied: true}))
	for fileType, want := range map[convert.FileType]struct {
		kind   gguf.Type
		number uint32
	}{"": {gguf.F16, 1}, convert.Keep: {gguf.F16, 1}, "f32": {gguf.F32, 0}, "f16": {gguf.F16, 1}, "bf16": {gguf.BF16, 32}, "BF16": {gguf.BF16, 32}} {
		out, _ := slim(t, source, convert.Options{FileType: fileType})
		for _, info := range out.File().Tensors {
			kind := want.kind
			if len(info.Shape) == 1 {
				kind = gguf.F32
			}
			if info.Type != kind {
				t.Errorf("%s: tensor %q is %s, want %s", fileType, info.Name, info.Type, kind)
			}
		}
		if got, _ := out.File().Value("general.file_type"); got != want.number {
			t.Errorf("%s: file type %#v, want %d", fileType, got, want.number)
		}
	}
	if _, err := convert.Slim(t.Context(), source, filepath.Join(t.TempDir(), "x"), convert.Options{FileType: "q4_0"}); !errors.Is(err, models.ErrUnsupported) {
		t.Errorf("quantizing without a codec gives %v", err)
	}
	if _, err := convert.ParseFileType("q9"); err == nil || !strings.Contains(err.Error(), "q8_0") {
		t.Errorf("an unknown file type gives %v", err)
	}
}

func TestRefit(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{}))
	refit := make([]float32, 64*32)
	for i := range refit {
		refit[i] = float32(i) / 7
	}
	out, result := slim(t, source, convert.Options{Kept: [][]int{upTo(32), upTo(32)}, Down: [][]float32{nil, refit}})
	got, _, err := out.Tensor(models.FFNDown, 1)
	if err != nil || !slices.Equal(got, refit) {
		t.Errorf("the written down matrix differs from the refitted one: %v", err)
	}
	plain, _, err := out.Tensor(models.FFNDown, 0)
	dense, _, _ := source.Tensor(models.FFNDown, 0)
	if err != nil || !slices.Equal(plain[:32], dense[:32]) {
		t.Errorf("the other layer changed: %v", err)
	}
	if !result.Provenance.Reconstructed {
		t.Error("the provenance does not say that down is refitted")
	}
}

func TestDeterministic(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{Hidden: 512, FFN: []int{1024, 1024}}))
	options := convert.Options{Kept: [][]int{every(1024, 2), upTo(512)}, FileType: "f16"}
	first, result := slim(t, source, options)
	for range 3 {
		if _, again := slim(t, source, options); again.Digest != result.Digest {
			t.Fatal("the same options give different bytes")
		}
	}
	if got := fileDigest(t, first.Path()); got != result.Digest {
		t.Errorf("digest %s, the file's is %s", result.Digest, got)
	}
	if info, err := os.Stat(first.Path()); err != nil || info.Size() != result.SizeBytes {
		t.Errorf("size %d, the file's is %d (%v)", result.SizeBytes, info.Size(), err)
	}
}

func TestProgress(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{}))
	var calls, last, total int64
	slim(t, source, convert.Options{Progress: func(done, of int64) {
		if done < last || done > of {
			t.Errorf("progress from %d to %d of %d", last, done, of)
		}
		calls, last, total = calls+1, done, of
	}})
	if calls != int64(len(source.File().Tensors)) || last != total {
		t.Errorf("%d calls, ended at %d of %d", calls, last, total)
	}
}

func TestRefuses(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{}))
	qwen := open(t, tiny(t, tinymodel.Options{Architecture: "qwen3", Untied: true}))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := convert.Codec{Quantize: func(gguf.Type, []float32, int) ([]byte, error) { return nil, errors.New("broken codec") }}
	short := convert.Codec{Quantize: func(gguf.Type, []float32, int) ([]byte, error) { return []byte{1}, nil }}
	tests := map[string]struct {
		ctx     context.Context
		source  *models.GGUF
		options convert.Options
		want    string
	}{
		"layers":      {t.Context(), source, convert.Options{Kept: [][]int{upTo(32)}}, "1 layers, but the model has 2"},
		"width 0":     {t.Context(), source, convert.Options{Kept: [][]int{{}, upTo(32)}}, "layer 0: width is 0"},
		"width 33":    {t.Context(), source, convert.Options{Kept: [][]int{upTo(32), upTo(33)}}, "layer 1: width is 33"},
		"unsorted":    {t.Context(), source, convert.Options{Kept: [][]int{append(upTo(31), 5), upTo(32)}}, "ascending"},
		"twice":       {t.Context(), source, convert.Options{Kept: [][]int{append(upTo(31), 30), upTo(32)}}, "ascending"},
		"range":       {t.Context(), source, convert.Options{Kept: [][]int{append(upTo(31), 96), upTo(32)}}, "below 96"},
		"negative":    {t.Context(), source, convert.Options{Kept: [][]int{append([]int{-1}, upTo(31)...), upTo(32)}}, "below 96"},
		"down layers": {t.Context(), source, convert.Options{Down: make([][]float32, 3)}, "3 layers"},
		"down size":   {t.Context(), source, convert.Options{Down: [][]float32{make([]float32, 5), nil}}, "5 values"},
		"file type":   {t.Context(), source, convert.Options{FileType: "q3"}, "unknown file type"},
		"qwen widths": {t.Context(), qwen, convert.Options{Kept: [][]int{upTo(32), upTo(64)}}, "uniform budget"},
		"cancelled":   {cancelled, source, convert.Options{}, "canceled"},
		"codec":       {t.Context(), source, convert.Options{FileType: "q8_0", Codec: broken}, "broken codec"},
		"short codec": {t.Context(), source, convert.Options{FileType: "q8_0", Codec: short}, "bytes were written"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := convert.Slim(test.ctx, test.source, filepath.Join(dir, "x.gguf"), test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Slim error = %v, want %q", err, test.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("files remain: %v, %v", left, err)
			}
		})
	}
	if _, err := convert.Slim(t.Context(), source, source.Path(), convert.Options{}); err == nil {
		t.Error("writing over the model gives no error")
	}
	if _, err := convert.Slim(t.Context(), source, filepath.Join(t.TempDir(), "no", "folder"), convert.Options{}); err == nil {
		t.Error("a folder that does not exist gives no error")
	}
}

// Canceling the context in the middle stops Slim, and no file remains.
func TestCancel(t *testing.T) {
	source := open(t, tiny(t, tinymodel.Options{}))
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err := convert.Slim(ctx, source, filepath.Join(dir, "x.gguf"), convert.Options{Progress: func(int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("files remain: %v", left)
	}
}
