package hffolder

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"prunellm/models"
	"prunellm/models/arch"
)

// activations maps "hidden_act" to an activation. A config.json without the field means SiLU.
var activations = map[string]arch.Activation{"": arch.SiLU, "silu": arch.SiLU, "swish": arch.SiLU, string(arch.GELU): arch.GELU}

// rawConfig is the part of config.json that defines the computation. A nil pointer means that the field is absent.
type rawConfig struct {
	Architectures    []string        `json:"architectures"`
	VocabSize        int             `json:"vocab_size"`
	HiddenSize       int             `json:"hidden_size"`
	Layers           int             `json:"num_hidden_layers"`
	Heads            int             `json:"num_attention_heads"`
	KVHeads          *int            `json:"num_key_value_heads"`
	HeadDim          *int            `json:"head_dim"`
	FFN              int             `json:"intermediate_size"`
	ContextLength    int             `json:"max_position_embeddings"`
	RMSEpsilon       *float64        `json:"rms_norm_eps"`
	RoPETheta        *float64        `json:"rope_theta"`
	RoPEScaling      *ropeScaling    `json:"rope_scaling"`
	RoPEParameters   *ropeScaling    `json:"rope_parameters"` // in newer files: theta and scaling in one object
	TieEmbeddings    *bool           `json:"tie_word_embeddings"`
	Activation       string          `json:"hidden_act"`
	GemmaActivation  string          `json:"hidden_activation"` // instead of hidden_act in Gemma's files
	AttentionBias    bool            `json:"attention_bias"`
	MLPBias          bool            `json:"mlp_bias"`
	SlidingWindow    *int            `json:"sliding_window"`
	UseSlidingWindow *bool           `json:"use_sliding_window"`
	Rotated          []int           `json:"no_rope_layers"` // 1 for each layer with RoPE, despite its name
	UnrotatedEvery   *int            `json:"no_rope_layer_interval"`
	WindowEvery      *int            `json:"sliding_window_pattern"`
	OldWindowEvery   *int            `json:"_sliding_window_pattern"`
	LayerTypes       []string        `json:"layer_types"`
	LocalTheta       *float64        `json:"rope_local_base_freq"`
	QueryScalar      *float64        `json:"query_pre_attn_scalar"`
	AttentionCap     *float64        `json:"attn_logit_softcapping"`
	FinalCap         *float64        `json:"final_logit_softcapping"`
	PartialRotary    *float64        `json:"partial_rotary_factor"`
	Quantization     json.RawMessage `json:"quantization_config"`
	BOS              tokenIDs        `json:"bos_token_id"`
	EOS              tokenIDs        `json:"eos_token_id"`
}

// ropeScaling is the field "rope_scaling", which stretches rotary position embedding to longer contexts.
type ropeScaling struct {
	Kind          string   `json:"rope_type"`
	OldKind       string   `json:"type"`
	Factor        *float64 `json:"factor"`
	LowFrequency  *float64 `json:"low_freq_factor"`
	HighFrequency *float64 `json:"high_freq_factor"`
	Original      *float64 `json:"original_max_position_embeddings"`
	Theta         *float64 `json:"rope_theta"`
	// Some files have the parameters by type of layer.
	Full   *ropeScaling `json:"full_attention"`
	Window *ropeScaling `json:"sliding_attention"`
}

// tokenIDs is a token id, a list of them, or null.
type tokenIDs []int

// UnmarshalJSON implements json.Unmarshaler.
func (t *tokenIDs) UnmarshalJSON(data []byte) error {
	var one *int
	if json.Unmarshal(data, &one) == nil {
		if *t = nil; one != nil {
			*t = tokenIDs{*one}
		}
		return nil
	}
	return json.Unmarshal(data, (*[]int)(t))
}

// first returns the first id, or -1 if there is none.
func (t tokenIDs) first() int {
	if len(t) == 0 {
		return -1
	}
	return t[0]
}

// parseConfig reads config.json. name is the model's name.
func parseConfig(data []byte, name string) (models.Config, *rawConfig, error) {
	var raw rawConfig
	if err := decodeJSON(data, &raw); err != nil {
		return models.Config{}, nil, err
	}
	if len(raw.Architectures) != 1 {
		return models.Config{}, nil, fmt.Errorf("architectures is %.100q but must have one name", raw.Architectures)
	}
	row, folder, ok := arch.OfFolder(raw.Architectures[0])
	if !ok {
		return models.Config{}, nil, fmt.Errorf("%w: architecture %.80q; use a model of architecture %s",
			models.ErrUnsupported, raw.Architectures[0], arch.FolderNames())
	}
	if err := raw.refuse(row); err != nil {
		return models.Config{}, nil, err
	}
	c := models.Config{
		Architecture: row.Name, Name: name, VocabSize: raw.VocabSize, HiddenSize: raw.HiddenSize, Layers: raw.Layers,
		Heads: raw.Heads, KVHeads: raw.Heads, ContextLength: raw.context(), RMSEpsilon: 1e-6, RoPEBase: 10000,
		RoPELayout: row.RoPE, TiedEmbeddings: raw.TieEmbeddings != nil && *raw.TieEmbeddings, AttentionBias: row.AttentionBias, QKNorm: row.QKNorm,
		PostNorms: row.PostNorms,
	}
	if row.WindowEvery > 0 {
		raw.gemma(&c)
	}
	if c.Layers < 1 || c.Layers > models.MaxLayers || c.Heads < 1 || c.HiddenSize < 1 {
		return models.Config{}, nil, fmt.Errorf("num_hidden_layers is %d, num_attention_heads %d, hidden_size %d: out of range", c.Layers, c.Heads, c.HiddenSize)
	}
	if raw.KVHeads != nil {
		c.KVHeads = *raw.KVHeads
	} else if !folder.OptionalKVHeads {
		return models.Config{}, nil, errors.New("num_key_value_heads is missing")
	}
	if c.KVHeads < 1 {
		return models.Config{}, nil, fmt.Errorf("num_key_value_heads is %d but must be at least 1", c.KVHeads)
	}
	if c.HeadDim = c.HiddenSize / c.Heads; raw.HeadDim != nil {
		c.HeadDim = *raw.HeadDim
	}
	c.RoPEDim = c.HeadDim
	if err := errors.Join(raw.unrotated(c), raw.windows(c)); err != nil {
		return models.Config{}, nil, err
	}
	if raw.RMSEpsilon != nil {
		c.RMSEpsilon = float64(float32(*raw.RMSEpsilon))
	}
	c.FFN = slices.Repeat([]int{raw.FFN}, c.Layers)
	if err := raw.rope(&c, row); err != nil {
		return models.Config{}, nil, err
	}
	return c, &raw, c.Validate()
}

// refuse returns an error for a field that asks for a computation that models/llama does not have.
func (r *rawConfig) refuse(row arch.Architecture) error {
	var what string
	switch {
	case activations[r.activation()] != row.Activation:
		what = fmt.Sprintf("hidden_act %.40q", r.activation())
	case r.MLPBias:
		what = "mlp_bias"
	case r.AttentionBias && !row.AttentionBias:
		what = "attention_bias"
	case len(r.Quantization) > 0 && !bytes.Equal(r.Quantization, []byte("null")):
		what = "quantized weights (quantization_config)"
	case r.PartialRotary != nil && *r.PartialRotary != 1:
		what = "partial_rotary_factor"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s", models.ErrUnsupported, what)
}

// unrotated returns an error if the layers without RoPE are not those that llama.cpp assumes for the architecture.
func (r *rawConfig) unrotated(c models.Config) error {
	row, _ := arch.Named(c.Architecture)
	if row.UnrotatedEvery == 0 {
		return nil // transformers does not read the fields
	}
	if r.Rotated == nil {
		if r.UnrotatedEvery != nil && *r.UnrotatedEvery != row.UnrotatedEvery {
			return fmt.Errorf("%w: no_rope_layer_interval is %d, want %d", models.ErrUnsupported, *r.UnrotatedEvery, row.UnrotatedEvery)
		}
		return nil
	}
	if len(r.Rotated) != c.Layers {
		return fmt.Errorf("no_rope_layers has %d entries for %d layers", len(r.Rotated), c.Layers)
	}
	for layer, rotated := range r.Rotated {
		if (rotated != 0) != c.Rotates(layer) {
			return fmt.Errorf("%w: no_rope_layers is %d in layer %d; llama.cpp omits RoPE in every %dth layer", models.ErrUnsupported, rotated, layer, row.UnrotatedEvery)
		}
	}
	return nil
}

// activation returns the name of the activation.
func (r *rawConfig) activation() string { return cmp.Or(r.GemmaActivation, r.Activation) }

// context returns the largest number of tokens for which full attention is exact. A sliding window and full attention
// are the same up to the length of the window.
func (r *rawConfig) context() int {
	if r.SlidingWindow != nil && *r.SlidingWindow > 0 && (r.UseSlidingWindow == nil || *r.UseSlidingWindow) {
		return min(r.ContextLength, *r.SlidingWindow)
	}
	return r.ContextLength
}

// rope fills in the RoPE base, factors and scale of c.
func (r *rawConfig) rope(c *models.Config, row arch.Architecture) error {
	if r.RoPETheta != nil {
		c.RoPEBase = *r.RoPETheta
	}
	scaling := r.RoPEScaling
	if p := r.RoPEParameters; p != nil {
		if scaling == nil {
			scaling = p
		}
		if p.Theta != nil {
			c.RoPEBase = *p.Theta
		}
	}
	c.RoPEBase = float64(float32(c.RoPEBase))
	if scaling == nil {
		return nil
	}
	kind := scaling.Kind
	if kind == "" {
		kind = scaling.OldKind
	}
	if kind == "" || kind == "default" {
		return nil
	}
	if c.HeadDim < 2 || c.HeadDim > models.MaxHeadDim || c.HeadDim%2 != 0 || !(c.RoPEBase > 1) {
		return fmt.Errorf("head_dim is %d and rope_theta %g: out of range", c.HeadDim, c.RoPEBase)
	}
	switch {
	case kind == "llama3" && row.RoPEFactors:
		l, err := scaling.llama3()
		if err != nil {
			return err
		}
		c.RoPEFactors = l.factors(c.RoPEDim, c.RoPEBase)
	case kind == "linear" && row.RoPEScaling && scaling.Factor != nil:
		if c.RoPEScale = float64(float32(*scaling.Factor)); c.RoPEScale == 1 {
			c.RoPEScale = 0
		}
	case kind == "linear" && row.RoPEFactors && scaling.Factor != nil && *scaling.Factor >= 1 && *scaling.Factor < 1e6:
		c.RoPEFactors = slices.Repeat([]float32{float32(*scaling.Factor)}, c.RoPEDim/2)
	default:
		return fmt.Errorf("%w: rope_scaling %.40q in architecture %q", models.ErrUnsupported, kind, r.Architectures[0])
	}
	return nil
}

// llama3 holds the parameters of the RoPE scaling of that name. It divides low frequencies by factor, keeps high ones
// and interpolates between them. A frequency is low if the original context spans fewer than low turns, and high if it
// spans more than high turns.
type llama3 struct{ factor, low, high, original float64 }

func (s *ropeScaling) llama3() (llama3, error) {
	for _, field := range []*float64{s.Factor, s.LowFrequency, s.HighFrequency, s.Original} {
		if field == nil {
			return llama3{}, errors.New("rope_scaling of type llama3 lacks factor, low_freq_factor, high_freq_factor or original_max_position_embeddings")
		}
	}
	l := llama3{factor: *s.Factor, low: *s.LowFrequency, high: *s.HighFrequency, original: *s.Original}
	if !(l.factor >= 1 && l.factor < 1e6 && l.low > 0 && l.high > l.low && l.high < 1e6 && l.original >= 1 && l.original <= models.MaxContext) {
		return llama3{}, fmt.Errorf("rope_scaling of type llama3 is out of range: %+v", l)
	}
	return l, nil
}

// factors returns the divisors of the RoPE frequencies, float32[dim/2].
func (l llama3) factors(dim int, base float64) []float32 {
	factors := make([]float32, dim/2)
	for i := range factors {
		wavelength := 2 * math.Pi * math.Pow(base, float64(2*i)/float64(dim))
		turns := l.original / wavelength
		switch {
		case turns > l.high:
			factors[i] = 1
		case turns < l.low:
			factors[i] = float32(l.factor)
		default:
			smooth := (turns - l.low) / (l.high - l.low)
			factors[i] = float32(1 / ((1-smooth)/l.factor + smooth))
		}
	}
	return factors
}

// decodeJSON decodes a single JSON value. It returns an error if anything follows the value.
func decodeJSON(data []byte, into any) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("unexpected JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
