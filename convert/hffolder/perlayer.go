package hffolder

import (
	"embed"
	"fmt"
	"slices"

	"prunellm/models"
	"prunellm/models/arch"
)

// perLayerClasses are the Python classes of a folder whose layers have different MLP widths. transformers has no such model;
// vLLM computes it, but reads config.json through the class.
//
//go:embed perlayer/*.py
var perLayerClasses embed.FS

const (
	perLayerConfigFile = "configuration_decilm.py"
	perLayerModelFile  = "modeling_decilm.py"
)

// perLayerFiles returns the Python files of such a folder, by name.
func perLayerFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range []string{perLayerConfigFile, perLayerModelFile} {
		data, err := perLayerClasses.ReadFile("perlayer/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}

// CheckWidths returns an error if a folder cannot hold the model's MLP widths: different widths need an architecture whose
// graph vLLM computes with a width per layer.
func CheckWidths(c models.Config) error {
	if _, uniform := c.UniformWidth(); uniform {
		return nil
	}
	return CheckPerLayer(c.Architecture)
}

// CheckPerLayer returns an error if a folder cannot hold a model of this GGUF architecture with a width per layer.
func CheckPerLayer(architecture string) error {
	if row, ok := arch.Named(architecture); ok && row.InFolder().PerLayerFolder {
		return nil
	}
	return fmt.Errorf("%w: architecture %q as a safetensors folder with an MLP width per layer, which vLLM has no model for: use --budget uniform",
		models.ErrUnsupported, architecture)
}

// setWidths writes the MLP widths into the fields of config.json: one number, or one per layer.
func setWidths(fields map[string]any, c models.Config) {
	fields["intermediate_size"] = slices.Max(c.FFN)
	if _, uniform := c.UniformWidth(); uniform {
		return
	}
	blocks := make([]map[string]any, c.Layers)
	for i, width := range c.FFN {
		blocks[i] = map[string]any{
			"attention": map[string]any{"no_op": false, "n_heads_in_group": c.Heads / c.KVHeads},
			"ffn":       map[string]any{"no_op": false, "intermediate_size": width},
		}
	}
	fields["block_configs"] = blocks
	fields["architectures"] = []string{"DeciLMForCausalLM"}
	fields["model_type"] = "nemotron-nas"
	fields["auto_map"] = map[string]string{
		"AutoConfig": "configuration_decilm.DeciLMConfig", "AutoModelForCausalLM": "modeling_decilm.DeciLMForCausalLM",
	}
	// The class is Llama's with its defaults, which another architecture's config.json may leave out or contradict.
	fields["num_key_value_heads"], fields["head_dim"] = c.KVHeads, c.HeadDim
	fields["rms_norm_eps"], fields["hidden_act"] = exactFloat(c.RMSEpsilon), arch.SiLU
	fields["tie_word_embeddings"] = c.TiedEmbeddings
	fields["attention_bias"], fields["mlp_bias"], fields["qkv_bias"] = false, false, c.AttentionBias
	// The class attends to the whole context. Up to the window of a sliding-window model that is the same.
	fields["max_position_embeddings"] = c.ContextLength
	for _, window := range []string{"sliding_window", "use_sliding_window", "max_window_layers", "layer_types"} {
		delete(fields, window)
	}
}
