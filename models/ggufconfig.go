package models

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// ConfigFromGGUF reads the architecture from a file's metadata. For an architecture that prunellm cannot compute it
// returns an error that wraps ErrUnsupported. For a field that is missing or out of range it returns an error that
// names the key.
func ConfigFromGGUF(f *gguf.File) (Config, error) {
	r := &ggufReader{file: f}
	c := Config{Architecture: r.string("general.architecture")}
	if r.err != nil {
		return Config{}, r.err
	}
	row, ok := arch.Named(c.Architecture)
	if !ok {
		return Config{}, fmt.Errorf("%w: architecture %q; use a model of architecture %s", ErrUnsupported, c.Architecture, arch.Names())
	}
	c.RoPELayout, c.QKNorm, c.PostNorms, c.FusedQKV = row.RoPE, row.QKNorm, row.PostNorms, row.FusedQKV
	r.arch = c.Architecture
	c.Name = r.stringOr("general.name", "")
	c.Layers = r.int("block_count")
	if r.err == nil && (c.Layers < 1 || c.Layers > MaxLayers) {
		r.err = fmt.Errorf("key %q: %d layers; there must be 1 to %d", r.key("block_count"), c.Layers, MaxLayers)
	}
	if r.err != nil {
		return Config{}, r.err
	}
	c.HiddenSize = r.int("embedding_length")
	c.ContextLength = r.int("context_length")
	c.RMSEpsilon = r.float("attention.layer_norm_rms_epsilon", math.NaN())
	c.FFN = r.perLayer("feed_forward_length", c.Layers)
	r.heads(&c)
	r.rope(&c, row)
	r.window(&c, row)
	r.refuse()
	r.tensors(&c, row)
	if r.err != nil {
		return Config{}, r.err
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// ggufReader reads the keys of one architecture and remembers the first error.
type ggufReader struct {
	file *gguf.File
	arch string
	err  error
}

func (r *ggufReader) key(suffix string) string { return r.arch + "." + suffix }

func (r *ggufReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *ggufReader) string(key string) string {
	s, err := r.file.String(key)
	if err != nil {
		r.fail(err)
	}
	return s
}

func (r *ggufReader) stringOr(key, fallback string) string {
	s, err := r.file.String(key)
	if errors.Is(err, gguf.ErrNoKey) {
		return fallback
	}
	if err != nil {
		r.fail(err)
	}
	return s
}

// int reads a uint32. llama.cpp rejects every other integer type for these keys.
func (r *ggufReader) int(suffix string) int {
	value, ok := r.file.Value(r.key(suffix))
	if !ok {
		r.fail(fmt.Errorf("key %q: %w", r.key(suffix), gguf.ErrNoKey))
		return 0
	}
	n, ok := value.(uint32)
	if !ok {
		r.fail(fmt.Errorf("key %q is of type %T instead of uint32", r.key(suffix), value))
	}
	return int(n)
}

func (r *ggufReader) intOr(suffix string, fallback int) int {
	if _, ok := r.file.Value(r.key(suffix)); !ok {
		return fallback
	}
	return r.int(suffix)
}

// float reads a float32 key. If the key is absent, it returns fallback; NaN means that the key must exist.
func (r *ggufReader) float(suffix string, fallback float64) float64 {
	value, ok := r.file.Value(r.key(suffix))
	if !ok {
		if math.IsNaN(fallback) {
			r.fail(fmt.Errorf("key %q: %w", r.key(suffix), gguf.ErrNoKey))
		}
		return fallback
	}
	v, ok := value.(float32)
	if !ok {
		r.fail(fmt.Errorf("key %q is of type %T instead of float32", r.key(suffix), value))
	}
	return float64(v)
}

// perLayer reads a key that has one number for all layers or an array with one per layer.
func (r *ggufReader) perLayer(suffix string, layers int) []int {
	value, ok := r.file.Value(r.key(suffix))
	if !ok {
		r.fail(fmt.Errorf("key %q: %w", r.key(suffix), gguf.ErrNoKey))
		return nil
	}
	switch value.(type) {
	case uint32:
		n := r.int(suffix)
		return slices.Repeat([]int{n}, layers)
	case []uint32, []int32:
	default:
		r.fail(fmt.Errorf("key %q is of type %T instead of uint32 or an array of it", r.key(suffix), value))
		return nil
	}
	numbers, err := r.file.Ints(r.key(suffix))
	if err == nil && len(numbers) != layers {
		err = fmt.Errorf("key %q has %d numbers for %d layers", r.key(suffix), len(numbers), layers)
	}
	if err != nil {
		r.fail(err)
		return nil
	}
	out := make([]int, layers)
	for i, n := range numbers {
		out[i] = int(n)
	}
	return out
}

// uniform is perLayer for a number that must be the same in all layers.
func (r *ggufReader) uniform(suffix string, layers int) int {
	numbers := r.perLayer(suffix, layers)
	for _, n := range numbers {
		if n != numbers[0] {
			r.fail(fmt.Errorf("%w: key %q differs between layers", ErrUnsupported, r.key(suffix)))
		}
	}
	if len(numbers) == 0 {
		return 0
	}
	return numbers[0]
}

func (r *ggufReader) heads(c *Config) {
	c.Heads = r.uniform("attention.head_count", c.Layers)
	c.KVHeads = c.Heads
	if _, ok := r.file.Value(r.key("attention.head_count_kv")); ok {
		c.KVHeads = r.uniform("attention.head_count_kv", c.Layers)
	}
	if r.err != nil {
		return
	}
	if c.Heads < 1 || c.KVHeads < 1 {
		r.fail(fmt.Errorf("%w: %d heads and %d kv heads; layers without attention are not supported", ErrUnsupported, c.Heads, c.KVHeads))
		return
	}
	c.HeadDim = r.intOr("attention.key_length", c.HiddenSize/c.Heads)
	if v := r.intOr("attention.value_length", c.HiddenSize/c.Heads); v != c.HeadDim {
		r.fail(fmt.Errorf("%w: heads have keys of width %d and values of width %d", ErrUnsupported, c.HeadDim, v))
	}
}

func (r *ggufReader) rope(c *Config, row arch.Architecture) {
	c.RoPEDim = r.intOr("rope.dimension_count", c.HeadDim)
	c.RoPEBase = r.float("rope.freq_base", 10000)
	if c.RoPEDim != c.HeadDim { // llama.cpp aborts the process otherwise
		r.fail(fmt.Errorf("key %q is %d instead of the head dimension %d", r.key("rope.dimension_count"), c.RoPEDim, c.HeadDim))
	}
	scale := r.float("rope.scaling.factor", 1)
	if _, ok := r.file.Value(r.key("rope.scaling.factor")); !ok {
		scale = r.float("rope.scale_linear", 1)
	}
	kind := r.stringOr(r.key("rope.scaling.type"), "linear")
	attention := r.float("rope.scaling.attn_factor", 1)
	if kind == "linear" && row.RoPEScaling && scale != 1 && scale != 0 && attention == 1 {
		c.RoPEScale = scale
		return
	}
	// llama.cpp treats a factor of 0 as "none".
	if (kind != "none" && kind != "linear") || (scale != 1 && scale != 0) || attention != 1 {
		r.fail(fmt.Errorf("%w: rope scaling %q with factor %g", ErrUnsupported, kind, scale))
	}
}

// window reads the sliding window. It fails on keys that llama.cpp does not read, or that ask for another computation, of an
// architecture that can have a window.
func (r *ggufReader) window(c *Config, row arch.Architecture) {
	if row.WindowEvery == 0 {
		return
	}
	c.Window = r.intOr("attention.sliding_window", 0)
	if base := r.float("rope.freq_base_swa", row.WindowRoPEBase); base != row.WindowRoPEBase {
		r.fail(fmt.Errorf("%w: key %q is %g, want %g", ErrUnsupported, r.key("rope.freq_base_swa"), base, row.WindowRoPEBase))
	}
	for _, suffix := range []string{"final_logit_softcapping", "attn_logit_softcapping"} {
		if limit := r.float(suffix, 0); limit != 0 {
			r.fail(fmt.Errorf("%w: key %q is %g; logits with a soft limit", ErrUnsupported, r.key(suffix), limit))
		}
	}
	const pattern = "attention.sliding_window_pattern"
	switch value, _ := r.file.Value(r.key(pattern)); value := value.(type) {
	case nil:
	case uint32:
		if int(value) != row.WindowEvery {
			r.fail(fmt.Errorf("%w: key %q is %d, want %d", ErrUnsupported, r.key(pattern), value, row.WindowEvery))
		}
	case []bool:
		for layer, windowed := range value {
			if len(value) != c.Layers || windowed != ((layer+1)%row.WindowEvery != 0) {
				r.fail(fmt.Errorf("%w: key %q differs from all layers but every %dth", ErrUnsupported, r.key(pattern), row.WindowEvery))
				break
			}
		}
	default:
		r.fail(fmt.Errorf("key %q is of type %T instead of uint32 or an array of bool", r.key(pattern), value))
	}
}

// refuse fails on keys that ask for a computation that models/llama does not have.
func (r *ggufReader) refuse() {
	if n := r.intOr("expert_count", 0); n > 0 {
		r.fail(fmt.Errorf("%w: a mixture of %d experts", ErrUnsupported, n))
	}
	if n := r.intOr("expert_used_count", 0); n > 0 {
		r.fail(fmt.Errorf("%w: %d experts used", ErrUnsupported, n))
	}
	r.refuseServing()
}

// refuseServing fails on files that the engine cannot serve either.
func (r *ggufReader) refuseServing() {
	if value, ok := r.file.Value("split.count"); ok && value != uint16(0) && value != uint16(1) {
		r.fail(fmt.Errorf("%w: the model is split into several files; join them with llama.cpp's gguf-split --merge", ErrUnsupported))
	}
	if value, ok := r.file.Value(r.key("classifier.output_labels")); ok {
		r.fail(fmt.Errorf("%w: the model is a classifier (key %q is of type %T)", ErrUnsupported, r.key("classifier.output_labels"), value))
	}
	if causal, err := r.file.Bool(r.key("attention.causal")); err == nil && !causal {
		r.fail(fmt.Errorf("%w: attention is not causal", ErrUnsupported))
	}
}

// tensors fills in the fields of c that follow from the file's tensors.
func (r *ggufReader) tensors(c *Config, row arch.Architecture) {
	has := func(role Role) bool { _, ok := r.file.Tensor(TensorName(role, 0)); return ok }
	c.TiedEmbeddings = !has(Output)
	c.AttentionBias = has(AttnQBias)
	embedding, ok := r.file.Tensor(TensorName(TokenEmbedding, 0))
	if !ok || len(embedding.Shape) != 2 {
		r.fail(fmt.Errorf("tensor %q: %w", TensorName(TokenEmbedding, 0), ErrNoTensor))
		return
	}
	c.VocabSize = embedding.Shape[0]
	if freqs, ok := r.file.Tensor(TensorName(RoPEFreqs, 0)); ok && r.err == nil {
		if !row.RoPEFactors {
			r.fail(fmt.Errorf("%w: tensor %q in architecture %q", ErrUnsupported, freqs.Name, row.Name))
			return
		}
		c.RoPEFactors, r.err = r.factors(freqs, c)
	}
}

func (r *ggufReader) factors(t gguf.TensorInfo, c *Config) ([]float32, error) {
	want := c.RoPEDim / 2
	if len(t.Shape) != 1 || t.Shape[0] != want || t.Type != gguf.F32 {
		return nil, fmt.Errorf("tensor %q is %s%v instead of f32[%d]", t.Name, t.Type, t.Shape, want)
	}
	raw, err := r.file.ReadTensor(t)
	if err != nil {
		return nil, err
	}
	values, err := gguf.DecodeFloats(t.Type, raw, want)
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		if !(v > 0 && v < 1e9) {
			return nil, fmt.Errorf("tensor %q: factor %d is %g but must be above 0", t.Name, i, v)
		}
	}
	return values, nil
}
