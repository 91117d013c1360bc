package hffolder

import (
	"fmt"
	"math"
	"slices"

	"prunellm/models"
	"prunellm/models/arch"
)

// This file has the fields of config.json for models with a sliding window in some layers.

// gemma fills in the fields of an architecture whose layers may have a window. transformers ties the embeddings of such a
// model unless its file says otherwise, and its context is not limited by the window.
func (r *rawConfig) gemma(c *models.Config) {
	c.ContextLength, c.RoPEBase = r.ContextLength, defaultGemmaTheta
	c.TiedEmbeddings = r.TieEmbeddings == nil || *r.TieEmbeddings
	if r.SlidingWindow != nil && (r.LayerTypes == nil || slices.Contains(r.LayerTypes, windowedType)) {
		c.Window = *r.SlidingWindow
	}
	if p := r.RoPEParameters; p != nil && p.Full != nil {
		r.RoPEParameters = p.Full
		if p.Window != nil {
			r.LocalTheta = p.Window.Theta
		}
	}
}

// defaultGemmaTheta is the RoPE base of a Gemma 3 folder that names none.
const defaultGemmaTheta = 1e6

// windows returns an error if the layers with a window, their RoPE or the scale of queries are not those that llama.cpp assumes
// for the architecture.
func (r *rawConfig) windows(c models.Config) error {
	row, _ := arch.Named(c.Architecture)
	if row.WindowEvery == 0 {
		return nil // transformers does not read the fields
	}
	unsupported := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{models.ErrUnsupported}, args...)...)
	}
	for _, every := range []*int{r.WindowEvery, r.OldWindowEvery} {
		if every != nil && c.Window > 0 && *every != row.WindowEvery {
			return unsupported("sliding_window_pattern is %d, want %d", *every, row.WindowEvery)
		}
	}
	if r.LayerTypes != nil && len(r.LayerTypes) != c.Layers {
		return fmt.Errorf("layer_types has %d entries for %d layers", len(r.LayerTypes), c.Layers)
	}
	for layer, kind := range r.LayerTypes {
		if (kind == windowedType) != c.Windowed(layer) {
			return unsupported("layer_types is %.40q in layer %d; in llama.cpp all layers but every %dth have the window", kind, layer, row.WindowEvery)
		}
	}
	if r.LocalTheta != nil && *r.LocalTheta != row.WindowRoPEBase {
		return unsupported("rope_local_base_freq is %g, want %g", *r.LocalTheta, row.WindowRoPEBase)
	}
	if want := math.Pow(c.QueryScale(), -2); r.QueryScalar != nil && math.Abs(*r.QueryScalar-want) > 1e-6*want {
		return unsupported("query_pre_attn_scalar is %g, want %g", *r.QueryScalar, want)
	}
	for _, limit := range []*float64{r.AttentionCap, r.FinalCap} {
		if limit != nil && *limit != 0 {
			return unsupported("logits with a soft limit (attn_logit_softcapping, final_logit_softcapping)")
		}
	}
	return nil
}

// The values of layer_types.
const (
	windowedType = "sliding_attention"
	fullType     = "full_attention"
)

// writeWindows sets the fields of config.json that an architecture with windows has.
func writeWindows(fields map[string]any, c models.Config, row arch.Architecture) {
	kinds, window := make([]string, c.Layers), c.Window
	for layer := range kinds {
		kinds[layer] = fullType
		if c.Windowed(layer) {
			kinds[layer] = windowedType
		}
	}
	if window == 0 {
		window = c.ContextLength // transformers requires a number, even if no layer uses it
	}
	fields["layer_types"], fields["sliding_window"], fields["sliding_window_pattern"] = kinds, window, row.WindowEvery
	fields["rope_local_base_freq"], fields["hidden_activation"] = row.WindowRoPEBase, row.Activation
	fields["query_pre_attn_scalar"] = int(math.Round(math.Pow(c.QueryScale(), -2)))
}
