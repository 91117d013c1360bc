package hffolder_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/convert/hffolder"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// toGGUF converts a folder and opens the result.
func toGGUF(t *testing.T, folder string) *models.GGUF {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := hffolder.ToGGUF(t.Context(), folder, path); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	return model
}

// A model that is converted to a folder and back is the same bit for bit.
func TestRoundTrip(t *testing.T) {
	tests := tinymodel.PerArchitecture()
	tests["bf16"] = tinymodel.Options{Type: gguf.BF16}
	tests["untied"] = tinymodel.Options{Untied: true, Type: gguf.F16}
	tests["wide head"] = tinymodel.Options{HeadDim: 32}
	tests["linear"] = tinymodel.Options{RoPEFactors: []float32{4, 4, 4, 4, 4, 4, 4, 4}}
	tests["window"] = tinymodel.Options{Architecture: "gemma3", Layers: 7, Window: 32, RoPEScale: 8}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			options.FFN = slices.Repeat([]int{96}, options.Config().Layers) // config.json has one width
			model := tinymodel.Open(t, options)
			folder := filepath.Join(t.TempDir(), "Tiny")
			if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: options.Type}); err != nil {
				t.Fatal(err)
			}
			again := toGGUF(t, folder)
			want, got := model.Config(), again.Config()
			row, _ := arch.Named(want.Architecture)
			want.Architecture, want.FusedQKV = row.InFolder().Name, false
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("config differs after the round trip (-before +after):\n%s", diff)
			}
			sameTensors(t, model, again)
			sameVocabulary(t, model, again)
		})
	}
}

func sameTensors(t *testing.T, a, b *models.GGUF) {
	t.Helper()
	for _, slot := range a.Config().Slots() {
		before, _, err := a.Tensor(slot.Role, slot.Layer)
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := b.Tensor(slot.Role, slot.Layer)
		if err != nil {
			t.Fatal(err)
		}
		if len(before) != len(after) {
			t.Fatalf("tensor %s has %d values, want %d", slot.Name(), len(after), len(before))
		}
		for i := range before {
			// Vectors are F32 in GGUF files, but the folder rounds them to its own type.
			if d := before[i] - after[i]; d > 4e-3 || d < -4e-3 || (len(before) > 512 && d != 0) {
				t.Fatalf("tensor %s: value %d is %g, want %g", slot.Name(), i, after[i], before[i])
			}
		}
	}
}

func sameVocabulary(t *testing.T, a, b *models.GGUF) {
	t.Helper()
	for _, key := range []string{"model", "pre", "tokens", "token_type", "merges", "bos_token_id", "eos_token_id", "add_bos_token"} {
		before, _ := a.File().Value("tokenizer.ggml." + key)
		after, _ := b.File().Value("tokenizer.ggml." + key)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("tokenizer key %s (-before +after):\n%s", key, diff)
		}
	}
	if before, after := a.Tokenizer().ChatTemplate, b.Tokenizer().ChatTemplate; before != after {
		t.Errorf("chat template is %q, want %q", after, before)
	}
}

// FromGGUF recovers the scaling parameters from Llama 3.2's factors, and ToGGUF computes the factors from config.json.
func TestLlama3Scaling(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{HeadDim: 64, Heads: 1, KVHeads: 1, Hidden: 64})
	folder := filepath.Join(t.TempDir(), "m")
	if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	edit(t, folder, func(config map[string]any) {
		config["rope_theta"] = 500000.0
		config["rope_scaling"] = map[string]any{
			"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3",
		}
	})
	scaled := toGGUF(t, folder)
	factors := scaled.Config().RoPEFactors
	if len(factors) != 32 || factors[0] != 1 || factors[31] != 32 || factors[16] <= 1 || factors[16] >= 32 {
		t.Fatalf("factors are %v, want 32 from 1 up to 32", factors)
	}
	second := filepath.Join(t.TempDir(), "again")
	if err := hffolder.FromGGUF(t.Context(), scaled, second, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(second, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Theta   float64 `json:"rope_theta"`
		Scaling struct {
			Type     string `json:"rope_type"`
			Factor   float64
			Original int `json:"original_max_position_embeddings"`
		} `json:"rope_scaling"`
	}
	if err := json.Unmarshal(data, &config); err != nil || config.Theta != 500000 || config.Scaling.Type != "llama3" || config.Scaling.Factor != 32 || config.Scaling.Original != 8192 {
		t.Errorf("config.json = %s, %v", data, err)
	}
}

func edit(t *testing.T, folder string, change func(config map[string]any)) {
	t.Helper()
	path := filepath.Join(folder, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	change(config)
	if data, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ToGGUF rejects a config.json with unsupported values or values out of range.
func TestConfigRefused(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	for name, test := range map[string]struct {
		change      func(config map[string]any)
		unsupported bool
		mention     string
	}{
		"architecture":    {func(c map[string]any) { c["architectures"] = []string{"GPT2LMHeadModel"} }, true, "GPT2LMHeadModel"},
		"no architecture": {func(c map[string]any) { delete(c, "architectures") }, false, "architectures"},
		"activation":      {func(c map[string]any) { c["hidden_act"] = "gelu" }, true, "gelu"},
		"bias":            {func(c map[string]any) { c["attention_bias"] = true }, true, "attention_bias"},
		"mlp bias":        {func(c map[string]any) { c["mlp_bias"] = true }, true, "mlp_bias"},
		"quantized":       {func(c map[string]any) { c["quantization_config"] = map[string]any{"bits": 4} }, true, "quantization_config"},
		"yarn":            {func(c map[string]any) { c["rope_scaling"] = map[string]any{"type": "yarn", "factor": 4} }, true, "yarn"},
		"half llama3":     {func(c map[string]any) { c["rope_scaling"] = map[string]any{"rope_type": "llama3"} }, false, "llama3"},
		"huge layers":     {func(c map[string]any) { c["num_hidden_layers"] = 1 << 40 }, false, "num_hidden_layers"},
		"negative":        {func(c map[string]any) { c["hidden_size"] = -5 }, false, "hidden_size"},
		"no heads":        {func(c map[string]any) { c["num_attention_heads"] = 0 }, false, "num_attention_heads"},
		"odd head":        {func(c map[string]any) { c["head_dim"] = 15 }, false, "rope dimension"},
		"width":           {func(c map[string]any) { c["intermediate_size"] = 64 }, false, "mlp.gate_proj"},
		"more layers":     {func(c map[string]any) { c["num_hidden_layers"] = 3 }, false, "model.layers.2"},
		"fewer layers":    {func(c map[string]any) { c["num_hidden_layers"] = 1 }, true, "model.layers.1"},
		"vocabulary":      {func(c map[string]any) { c["vocab_size"] = 20 }, false, "embed_tokens"},
		"untied":          {func(c map[string]any) { c["tie_word_embeddings"] = false }, false, "lm_head"},
		"text as number":  {func(c map[string]any) { c["hidden_size"] = "big" }, false, "hidden_size"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "m")
			if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32}); err != nil {
				t.Fatal(err)
			}
			edit(t, folder, test.change)
			path := filepath.Join(t.TempDir(), "m.gguf")
			err := hffolder.ToGGUF(t.Context(), folder, path)
			if err == nil || errors.Is(err, models.ErrUnsupported) != test.unsupported || !strings.Contains(err.Error(), test.mention) {
				t.Errorf("ToGGUF error = %v, want one that mentions %s, unsupported: %t", err, test.mention, test.unsupported)
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("an output file remains: %v", err)
			}
		})
	}
}

// Given a source folder, FromGGUF copies its files and changes only the width in config.json.
func TestSourceFolderIsKept(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	source, target := filepath.Join(t.TempDir(), "m"), filepath.Join(t.TempDir(), "n")
	if err := hffolder.FromGGUF(t.Context(), model, source, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	edit(t, source, func(c map[string]any) { c["custom"], c["intermediate_size"] = 7, 1 })
	if err := hffolder.FromGGUF(t.Context(), model, target, hffolder.Options{Type: gguf.BF16, Source: source}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(target, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"custom": 7`, `"intermediate_size": 96`, `"torch_dtype": "bfloat16"`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("config.json lacks %s:\n%s", want, data)
		}
	}
	if err := hffolder.FromGGUF(t.Context(), model, target, hffolder.Options{Type: gguf.F32}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("writing over a folder gives %v", err)
	}
}

// FromGGUF writes different widths into block_configs and adds the classes that read them. From a source's config.json
// it removes fields that those classes would not follow.
func TestPerLayerWidths(t *testing.T) {
	even, uneven := tinymodel.Open(t, tinymodel.Options{}), tinymodel.Open(t, tinymodel.Options{Architecture: "deci", FFN: []int{96, 32}})
	source := filepath.Join(t.TempDir(), "source")
	if err := hffolder.FromGGUF(t.Context(), even, source, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	edit(t, source, func(c map[string]any) {
		c["architectures"], c["model_type"], c["sliding_window"] = []string{"MistralForCausalLM"}, "mistral", 4096
		delete(c, "rms_norm_eps")
	})
	for name, from := range map[string]string{"rebuilt": "", "source": source} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "x")
			if err := hffolder.FromGGUF(t.Context(), uneven, folder, hffolder.Options{Type: gguf.F32, Source: from, ModelCard: []byte("a card")}); err != nil {
				t.Fatal(err)
			}
			var config struct {
				Architectures []string
				Epsilon       float64 `json:"rms_norm_eps"`
				Window        *int    `json:"sliding_window"`
				Blocks        []struct {
					Attention struct {
						Group int `json:"n_heads_in_group"`
					}
					FFN struct {
						Width int `json:"intermediate_size"`
					}
				} `json:"block_configs"`
			}
			data, err := os.ReadFile(filepath.Join(folder, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &config); err != nil {
				t.Fatal(err)
			}
			if config.Architectures[0] != "DeciLMForCausalLM" || len(config.Blocks) != 2 || config.Blocks[0].FFN.Width != 96 || config.Blocks[1].FFN.Width != 32 ||
				config.Blocks[1].Attention.Group != 2 || config.Epsilon != 1e-5 || config.Window != nil {
				t.Errorf("config.json = %s", data)
			}
			for _, name := range []string{"configuration_decilm.py", "modeling_decilm.py", "README.md", "generation_config.json"} {
				if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := hffolder.ToGGUF(t.Context(), folder, filepath.Join(t.TempDir(), "back.gguf")); !errors.Is(err, models.ErrUnsupported) {
				t.Errorf("ToGGUF of a folder with per-layer widths: %v, want %v", err, models.ErrUnsupported)
			}
		})
	}
}

// No token that ends an answer is lost, even one that neither config.json nor llama.cpp's list of known texts has.
func TestEndsOfAnswers(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	folder, back := filepath.Join(t.TempDir(), "m"), filepath.Join(t.TempDir(), "again")
	if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	ends := []byte(`{"eos_token_id":[40,2,50,40,99999,60]}`)
	if err := os.WriteFile(filepath.Join(folder, "generation_config.json"), ends, 0o600); err != nil {
		t.Fatal(err)
	}
	converted := toGGUF(t, folder)
	for key, want := range map[string]uint32{"eos": tinymodel.ImEnd, "eot": 40, "eom": 50} {
		if got, _ := converted.File().Value("tokenizer.ggml." + key + "_token_id"); got != want {
			t.Errorf("%s is %v, want %d", key, got, want)
		}
	}
	if err := hffolder.FromGGUF(t.Context(), converted, back, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(back, "generation_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Ends []int `json:"eos_token_id"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{tinymodel.ImEnd, 40, 50}, got.Ends); diff != "" {
		t.Errorf("tokens that end an answer (-want +got):\n%s", diff)
	}
}

// ToGGUF and FromGGUF keep recommended sampling settings. They drop settings that no request may have.
func TestRecommendedSampling(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	folder, back := filepath.Join(t.TempDir(), "m"), filepath.Join(t.TempDir(), "again")
	if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	recommended := []byte(`{"do_sample":true,"temperature":0.7,"top_k":20,"top_p":0.95,"min_p":7,"repetition_penalty":"1.1"}`)
	if err := os.WriteFile(filepath.Join(folder, "generation_config.json"), recommended, 0o600); err != nil {
		t.Fatal(err)
	}
	converted := toGGUF(t, folder)
	want := models.Sampling{"temperature": 0.7, "top_k": 20, "top_p": 0.95}
	if diff := cmp.Diff(want, converted.Sampling()); diff != "" {
		t.Errorf("sampling of the GGUF file (-want +got):\n%s", diff)
	}
	if err := hffolder.FromGGUF(t.Context(), converted, back, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(back, "generation_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`"do_sample": true`, `"temperature": 0.7`, `"top_k": 20`, `"top_p": 0.95`} {
		if !strings.Contains(string(data), text) {
			t.Errorf("generation_config.json = %s, want it to contain %s", data, text)
		}
	}
}

// Every Hugging Face name in the table is read as the architecture of its row.
func TestFolderNames(t *testing.T) {
	for _, row := range arch.Rows() {
		for _, folder := range row.Folders {
			dir := filepath.Join(t.TempDir(), "m")
			if err := hffolder.FromGGUF(t.Context(), tinymodel.Open(t, tinymodel.Options{Architecture: row.Name}), dir, hffolder.Options{Type: gguf.BF16}); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, func(c map[string]any) { c["architectures"], c["model_type"] = []string{folder.Name}, folder.ModelType })
			if got := toGGUF(t, dir).Config().Architecture; got != row.Name {
				t.Errorf("%s becomes architecture %q, want %q", folder.Name, got, row.Name)
			}
		}
	}
}

// config.json can name the layers without RoPE in two ways. Both must agree with the layers in which llama.cpp omits
// RoPE.
func TestUnrotatedLayers(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{Architecture: "smollm3", Layers: 5})
	for name, test := range map[string]struct {
		change  func(config map[string]any)
		mention string // part of the error; "" if there must be none
	}{
		"interval":       {func(map[string]any) {}, ""},
		"list":           {func(c map[string]any) { c["no_rope_layers"] = []int{1, 1, 1, 0, 1} }, ""},
		"neither":        {func(c map[string]any) { delete(c, "no_rope_layer_interval") }, ""},
		"other interval": {func(c map[string]any) { c["no_rope_layer_interval"] = 2 }, "no_rope_layer_interval"},
		"all rotate":     {func(c map[string]any) { c["no_rope_layers"] = []int{1, 1, 1, 1, 1} }, "no_rope_layers is 1 in layer 3"},
		"short list":     {func(c map[string]any) { c["no_rope_layers"] = []int{1, 1, 1} }, "3 entries for 5 layers"},
	} {
		t.Run(name, func(t *testing.T) {
			folder, back := filepath.Join(t.TempDir(), "m"), filepath.Join(t.TempDir(), "m.gguf")
			if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32}); err != nil {
				t.Fatal(err)
			}
			edit(t, folder, test.change)
			err := hffolder.ToGGUF(t.Context(), folder, back)
			if (err == nil) != (test.mention == "") || err != nil && !strings.Contains(err.Error(), test.mention) {
				t.Errorf("ToGGUF error = %v, want one that mentions %q", err, test.mention)
			}
		})
	}
}

// A Mistral model is a Llama model whose context ends at the sliding window.
func TestMistral(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	folder := filepath.Join(t.TempDir(), "m")
	if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.BF16}); err != nil {
		t.Fatal(err)
	}
	edit(t, folder, func(c map[string]any) {
		c["architectures"], c["model_type"], c["sliding_window"] = []string{"MistralForCausalLM"}, "mistral", 128
		for _, absent := range []string{"attention_bias", "mlp_bias", "head_dim"} {
			delete(c, absent)
		}
	})
	converted := toGGUF(t, folder)
	if c := converted.Config(); c.Architecture != "llama" || c.ContextLength != 128 || c.HeadDim != 16 {
		t.Errorf("architecture %q, context %d, heads of %d, want llama, 128, 16", c.Architecture, c.ContextLength, c.HeadDim)
	}
}
