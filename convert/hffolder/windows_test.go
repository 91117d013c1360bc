package hffolder_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/convert/hffolder"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// config.json can name the layers with a window, and their RoPE, in several ways. All must agree with what llama.cpp computes.
func TestWindows(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{Architecture: "gemma3", Layers: 7, Window: 32, Keys: []gguf.KV{{Key: "gemma3.rope.freq_base", Value: float32(1e6)}}})
	kinds := func(full ...int) []string {
		out := []string{}
		for range 7 {
			out = append(out, "sliding_attention")
		}
		for _, layer := range full {
			out[layer] = "full_attention"
		}
		return out
	}
	rope := func(theta float64) map[string]any { return map[string]any{"rope_type": "default", "rope_theta": theta} }
	for name, test := range map[string]struct {
		change  func(config map[string]any)
		mention string // part of the error; "" if the folder means the same model
	}{
		"as written":   {func(map[string]any) {}, ""},
		"pattern only": {func(c map[string]any) { delete(c, "layer_types") }, ""},
		"old pattern":  {func(c map[string]any) { c["_sliding_window_pattern"] = 6 }, ""},
		"defaults": {func(c map[string]any) {
			for _, field := range []string{"rope_theta", "rope_local_base_freq", "tie_word_embeddings", "query_pre_attn_scalar", "sliding_window_pattern"} {
				delete(c, field)
			}
		}, ""},
		"parameters by kind": {func(c map[string]any) {
			delete(c, "rope_theta")
			c["rope_parameters"] = map[string]any{"full_attention": rope(1e6), "sliding_attention": rope(1e4)}
		}, ""},
		"other base by kind": {func(c map[string]any) {
			c["rope_parameters"] = map[string]any{"full_attention": rope(1e6), "sliding_attention": rope(2e4)}
		}, "rope_local_base_freq is 20000, want 10000"},
		"other base":     {func(c map[string]any) { c["rope_local_base_freq"] = 1e6 }, "rope_local_base_freq"},
		"other pattern":  {func(c map[string]any) { c["sliding_window_pattern"] = 4 }, "sliding_window_pattern is 4, want 6"},
		"other layers":   {func(c map[string]any) { c["layer_types"] = kinds(3) }, `"full_attention" in layer 3`},
		"no full layer":  {func(c map[string]any) { c["layer_types"] = kinds() }, `"sliding_attention" in layer 5`},
		"unknown kind":   {func(c map[string]any) { c["layer_types"] = append(kinds(5)[:6], "chunked_attention") }, `"chunked_attention" in layer 6`},
		"short list":     {func(c map[string]any) { c["layer_types"] = []string{"sliding_attention"} }, "1 entries for 7 layers"},
		"few layers":     {func(c map[string]any) { c["num_hidden_layers"] = 5; delete(c, "layer_types") }, "in all 5 layers"},
		"query scale":    {func(c map[string]any) { c["query_pre_attn_scalar"] = 64 }, "query_pre_attn_scalar is 64, want 16"},
		"attention cap":  {func(c map[string]any) { c["attn_logit_softcapping"] = 50.0 }, "soft limit"},
		"logit cap":      {func(c map[string]any) { c["final_logit_softcapping"] = 30.0 }, "soft limit"},
		"activation":     {func(c map[string]any) { c["hidden_activation"] = "silu" }, `hidden_act "silu"`},
		"negative":       {func(c map[string]any) { c["sliding_window"] = -1; delete(c, "layer_types") }, "sliding window is -1"},
		"missing window": {func(c map[string]any) { delete(c, "sliding_window") }, `"sliding_attention" in layer 0`},
	} {
		t.Run(name, func(t *testing.T) {
			folder, back := filepath.Join(t.TempDir(), "Tiny"), filepath.Join(t.TempDir(), "m.gguf")
			if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32}); err != nil {
				t.Fatal(err)
			}
			edit(t, folder, test.change)
			if test.mention == "" {
				if diff := cmp.Diff(model.Config(), toGGUF(t, folder).Config()); diff != "" {
					t.Errorf("config (-before +after):\n%s", diff)
				}
				return
			}
			if err := hffolder.ToGGUF(t.Context(), folder, back); err == nil || !strings.Contains(err.Error(), test.mention) {
				t.Errorf("ToGGUF error = %v, want one that mentions %q", err, test.mention)
			}
		})
	}
}
