package models_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
)

func tiny(t testing.TB, options tinymodel.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Tiny-Model.F32.gguf")
	if err := tinymodel.Write(path, options); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *models.GGUF {
	t.Helper()
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { model.Close() })
	return model
}

func TestConfigFromGGUF(t *testing.T) {
	tests := tinymodel.PerArchitecture()
	tests["untied"] = tinymodel.Options{Untied: true}
	tests["factors"] = tinymodel.Options{RoPEFactors: []float32{1, 1, 1, 2, 4, 8, 8, 8}}
	tests["window"] = tinymodel.Options{Architecture: "gemma3", Layers: 7, Window: 32, RoPEScale: 8}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			model := open(t, tiny(t, options))
			if diff := cmp.Diff(options.Config(), model.Config()); diff != "" {
				t.Errorf("config: %s", diff)
			}
			var parameters int64
			for _, info := range model.File().Tensors {
				if info.Name != "rope_freqs.weight" {
					parameters += info.Elements()
				}
			}
			if got := model.Config().Parameters(nil); got != parameters {
				t.Errorf("Parameters = %d, but the file holds %d", got, parameters)
			}
		})
	}
}

// A key with an array of equal numbers means the same as a key with that single number.
func TestConfigArrays(t *testing.T) {
	model := open(t, tiny(t, tinymodel.Options{Architecture: "deci", Keys: []gguf.KV{
		{Key: "deci.attention.head_count", Value: []int32{4, 4}},
		{Key: "deci.attention.head_count_kv", Value: []uint32{2, 2}},
		{Key: "deci.feed_forward_length", Value: []uint32{96, 96}},
		{Key: "deci.rope.scaling.type", Value: "none"},
	}}))
	if c := model.Config(); c.Heads != 4 || c.KVHeads != 2 || !slices.Equal(c.FFN, []int{96, 96}) {
		t.Errorf("config is %+v", c)
	}
}

func TestRefusesConfig(t *testing.T) {
	key := func(name string, value any) tinymodel.Options {
		return tinymodel.Options{Keys: []gguf.KV{{Key: name, Value: value}}}
	}
	gemma := func(name string, value any) tinymodel.Options {
		return tinymodel.Options{Architecture: "gemma3", Layers: 6, Window: 32, Keys: []gguf.KV{{Key: "gemma3." + name, Value: value}}}
	}
	windows := func(every, layers int) []bool {
		pattern := make([]bool, layers)
		for layer := range pattern {
			pattern[layer] = (layer+1)%every != 0
		}
		return pattern
	}
	tests := map[string]struct {
		options     tinymodel.Options
		want        string
		unsupported bool
	}{
		"architecture":      {key("general.architecture", "gemma2"), `"gemma2"`, true},
		"not a string":      {key("general.architecture", uint32(1)), "general.architecture", false},
		"experts":           {key("llama.expert_count", uint32(8)), "8 experts", true},
		"yarn":              {key("llama.rope.scaling.type", "yarn"), `"yarn"`, true},
		"unknown rope":      {key("llama.rope.scaling.type", "no such"), `"no such"`, true},
		"linear 2":          {key("llama.rope.scaling.factor", float32(2)), "factor 2", true},
		"old linear":        {key("llama.rope.scale_linear", float32(4)), "factor 4", true},
		"attn factor":       {key("llama.rope.scaling.attn_factor", float32(2)), "rope scaling", true},
		"causal":            {key("llama.attention.causal", false), "causal", true},
		"split":             {key("split.count", uint16(3)), "several files", true},
		"classifier":        {key("llama.classifier.output_labels", []string{"a"}), "classifier", true},
		"values":            {key("llama.attention.value_length", uint32(8)), "values of width 8", true},
		"rope dims":         {key("llama.rope.dimension_count", uint32(8)), "rope.dimension_count", false},
		"no layers":         {key("llama.block_count", uint32(0)), "block_count", false},
		"many layers":       {key("llama.block_count", uint32(4e9)), "block_count", false},
		"layers type":       {key("llama.block_count", uint64(2)), "instead of uint32", false},
		"hidden 0":          {key("llama.embedding_length", uint32(0)), "hidden size", false},
		"heads 0":           {key("llama.attention.head_count", uint32(0)), "0 heads", true},
		"kv 0":              {key("llama.attention.head_count_kv", uint32(0)), "0 kv heads", true},
		"heads 3":           {key("llama.attention.head_count", uint32(3)), "not a multiple", false},
		"heads differ":      {key("llama.attention.head_count", []int32{4, 2}), "differs between layers", true},
		"negative heads":    {key("llama.attention.head_count", []int32{-4, -4}), "heads", true},
		"widths short":      {key("llama.feed_forward_length", []int32{96}), "1 numbers for 2 layers", false},
		"widths floats":     {key("llama.feed_forward_length", []float32{96, 96}), "instead of uint32", false},
		"width 0":           {key("llama.feed_forward_length", []int32{96, 0}), "layer 1 is 0", false},
		"epsilon":           {key("llama.attention.layer_norm_rms_epsilon", float32(0)), "epsilon", false},
		"epsilon type":      {key("llama.attention.layer_norm_rms_epsilon", 1e-5), "instead of float32", false},
		"base":              {key("llama.rope.freq_base", float32(-1)), "rope base", false},
		"hidden":            {key("llama.embedding_length", uint32(128)), "instead of [297 128]", false},
		"name type":         {key("general.name", true), "general.name", false},
		"factors qwen":      {tinymodel.Options{Architecture: "qwen2", RoPEFactors: make([]float32, 8)}, "rope_freqs", true},
		"wide heads":        {tinymodel.Options{Architecture: "qwen2", Keys: []gguf.KV{{Key: "qwen2.attention.key_length", Value: uint32(32)}, {Key: "qwen2.attention.value_length", Value: uint32(32)}, {Key: "qwen2.rope.dimension_count", Value: uint32(32)}}}, "4 heads of width 32", true},
		"window everywhere": {gemma("block_count", uint32(5)), "in all 5 layers; every 6th layer", false},
		"window type":       {gemma("attention.sliding_window", int32(32)), "instead of uint32", false},
		"window too long":   {gemma("attention.sliding_window", uint32(4e9)), "sliding window is 4000000000", false},
		"window pattern":    {gemma("attention.sliding_window_pattern", uint32(4)), "is 4, want 6", true},
		"window layers":     {gemma("attention.sliding_window_pattern", windows(3, 6)), "every 6th", true},
		"windows short":     {gemma("attention.sliding_window_pattern", windows(6, 5)), "every 6th", true},
		"pattern type":      {gemma("attention.sliding_window_pattern", "6"), "of type string", false},
		"window base":       {gemma("rope.freq_base_swa", float32(5e5)), "freq_base_swa", true},
		"soft limit":        {gemma("final_logit_softcapping", float32(30)), "soft limit", true},
		"stretched gemma":   {gemma("rope.scaling.factor", float32(0.5)), "RoPE scaling is 0.5", false},
		"no post norms":     {withoutPostNorms(), "post_attention_norm.weight", false},
		"factor 0":          {tinymodel.Options{RoPEFactors: make([]float32, 8)}, "factor 0 is 0", false},
		"factors short":     {tinymodel.Options{RoPEFactors: []float32{1, 1, 1, 1, 1, 1, 1, 1}, Keys: []gguf.KV{{Key: "llama.attention.key_length", Value: uint32(32)}, {Key: "llama.attention.value_length", Value: uint32(32)}, {Key: "llama.rope.dimension_count", Value: uint32(32)}}}, "instead of f32[16]", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := models.OpenGGUF(tiny(t, test.options), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, models.ErrUnsupported) != test.unsupported {
				t.Errorf("error is %v, want %q (unsupported: %t)", err, test.want, test.unsupported)
			}
		})
	}
}

// withoutPostNorms describes a model whose keys are gemma3's and whose tensors are qwen3's.
func withoutPostNorms() tinymodel.Options {
	options := tinymodel.Options{Architecture: "qwen3", Keys: []gguf.KV{
		{Key: "general.architecture", Value: "gemma3"}, {Key: "gemma3.attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
	}}
	for name, value := range map[string]uint32{
		"block_count": 2, "context_length": 512, "embedding_length": 64, "feed_forward_length": 96, "attention.head_count": 4, "attention.head_count_kv": 2,
	} {
		options.Keys = append(options.Keys, gguf.KV{Key: "gemma3." + name, Value: value})
	}
	return options
}

func TestRefusesTokenizer(t *testing.T) {
	base := open(t, tiny(t, tinymodel.Options{}))
	tokens, err := base.File().Strings("tokenizer.ggml.tokens")
	if err != nil {
		t.Fatal(err)
	}
	twice, empty, long := slices.Clone(tokens), slices.Clone(tokens), slices.Clone(tokens)
	twice[7] = twice[8]
	empty[7], empty[8] = "", "[EMPTY_7]"
	cut := slices.Clone(tokens)
	cut[7] = cut[8] + "\x00 more"
	long[9] = strings.Repeat("x", 1<<15)
	key := func(name string, value any) []gguf.KV { return []gguf.KV{{Key: "tokenizer." + name, Value: value}} }
	tests := map[string]struct {
		keys []gguf.KV
		want string
	}{
		"model":      {key("ggml.model", "bert"), `tokenizer "bert"`},
		"tokens":     {key("ggml.tokens", tokens[1:]), "tokens for an embedding of"},
		"not tokens": {key("ggml.tokens", []int32{1}), "array of strings"},
		"twice":      {key("ggml.tokens", twice), "tokens 7 and 8"},
		"empty":      {key("ggml.tokens", empty), "tokens 7 and 8"},
		"nul":        {key("ggml.tokens", cut), "tokens 7 and 8"},
		"long":       {key("ggml.tokens", long), "too many long tokens"},
		"bytes":      {key("ggml.model", "llama"), "no token for byte"},
		"scores":     {key("ggml.scores", []float32{1}), "tokenizer.ggml.scores"},
		"types":      {key("ggml.token_type", []uint32{1}), "tokenizer.ggml.token_type"},
		"merges":     {key("ggml.merges", true), "tokenizer.ggml.merges"},
		"eos":        {key("ggml.eos_token_id", uint32(9999)), "eos_token_id"},
		"bos type":   {key("ggml.bos_token_id", int32(1)), "bos_token_id"},
		"add bos":    {key("ggml.add_bos_token", uint8(1)), "add_bos_token"},
		"template":   {key("chat_template", strings.Repeat("x", 1<<21)), "chat_template"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := models.OpenGGUF(tiny(t, tinymodel.Options{Keys: test.keys}), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestTensor(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16} {
		model := open(t, tiny(t, tinymodel.Options{Type: kind, Architecture: "qwen2"}))
		for _, slot := range model.Config().Slots() {
			values, shape, err := model.Tensor(slot.Role, slot.Layer)
			if err != nil {
				t.Fatal(err)
			}
			want := model.Config().TensorShape(slot.Role, slot.Layer)
			size := 1
			for _, d := range want {
				size *= d
			}
			if !slices.Equal(shape, want) || len(values) != size {
				t.Errorf("%s has shape %v and %d values, want %v", slot.Name(), shape, len(values), want)
			}
		}
		if _, _, err := model.Tensor(models.Output, 0); !errors.Is(err, models.ErrNoTensor) {
			t.Errorf("the output of a tied model gives %v", err)
		}
	}
}

// Reading a quantized model needs a dequantizer.
func TestDequantizer(t *testing.T) {
	path := tiny(t, tinymodel.Options{Type: gguf.Q8_0, Quantize: func(kind gguf.Type, values []float32, _ int) ([]byte, error) {
		size, err := kind.Size(int64(len(values)))
		return make([]byte, size), err
	}})
	if _, _, err := open(t, path).Tensor(models.FFNDown, 1); !errors.Is(err, models.ErrUnsupported) {
		t.Errorf("without a dequantizer: %v", err)
	}
	model, err := models.OpenGGUF(path, func(kind gguf.Type, raw []byte, n int) ([]float32, error) {
		if kind != gguf.Q8_0 || len(raw) != n/32*34 {
			t.Errorf("the dequantizer is called for %d values of %s from %d bytes", n, kind, len(raw))
		}
		return make([]float32, n), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	if values, _, err := model.Tensor(models.FFNDown, 1); err != nil || len(values) != 64*96 {
		t.Errorf("%d values, %v", len(values), err)
	}
}

func TestUnchanged(t *testing.T) {
	path := tiny(t, tinymodel.Options{})
	model := open(t, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	if err := model.Unchanged(t.Context()); err != nil {
		t.Errorf("an unchanged file gives %v", err)
	}
	replace(data)
	if err := model.Unchanged(t.Context()); err != nil {
		t.Errorf("a copy of the same bytes gives %v", err)
	}
	other := slices.Clone(data)
	other[len(other)-1]++
	replace(other)
	if err := model.Unchanged(t.Context()); !errors.Is(err, models.ErrChanged) || !strings.Contains(err.Error(), path) {
		t.Errorf("another file at the path gives %v, want ErrChanged and the path", err)
	}
	replace(data)
	if err := model.Unchanged(t.Context()); err != nil {
		t.Errorf("the old bytes, put back, give %v", err)
	}
	if err := os.WriteFile(path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := model.Unchanged(t.Context()); !errors.Is(err, models.ErrChanged) {
		t.Errorf("overwritten bytes give %v, want ErrChanged", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := model.Unchanged(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a removed file gives %v", err)
	}
}

func TestDigestAndTokenizer(t *testing.T) {
	model := open(t, tiny(t, tinymodel.Options{}))
	data, err := os.ReadFile(model.Path())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	for range 2 {
		if got, err := model.Digest(t.Context()); err != nil || got != hex.EncodeToString(sum[:]) {
			t.Errorf("digest %s, %v", got, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, model.Path()).Digest(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled digest gives %v", err)
	}
	want := models.Tokenizer{
		Model: "gpt2", Pre: "smollm", Tokens: model.Config().VocabSize, BOS: tinymodel.ImStart, EOS: tinymodel.ImEnd, EOT: -1,
		ChatTemplate: tinymodel.ChatTemplate,
	}
	if diff := cmp.Diff(want, model.Tokenizer()); diff != "" {
		t.Errorf("tokenizer: %s", diff)
	}
	if got := model.ServedName(); got != "tiny-model" {
		t.Errorf("served as %q", got)
	}
}
