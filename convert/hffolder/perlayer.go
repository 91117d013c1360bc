package hffolder

import (
	"embed"
	"fmt"
	"slices"

	"prunellm/models"
	"prunellm/models/arch"
)

// perLayerClasses holds the Python classes of a folder whose layers have different MLP widths. transformers has no such
// model. vLLM has one, but reads its config.json through the first class.
//
//go:embed perlayer/*.py
var perLayerClasses embed.FS

// perLayerArchitecture is the name of the model class, which vLLM has too.
const perLayerArchitecture = "DeciLMForCausalLM"

// perLayerModules says which class of which Python file transformers loads for each of its automatic classes.
var perLayerModules = [...]struct{ auto, module, class string }{
	{"AutoConfig", "configuration_decilm", "DeciLMConfig"},
	{"AutoModelForCausalLM", "modeling_decilm", perLayerArchitecture},
}

// perLayerFiles returns the Python files of such a folder, by name.
func perLayerFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, m := range perLayerModules {
		name := m.module + ".py"
		data, err := perLayerClasses.ReadFile("perlayer/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}

// CheckWidths returns an error if a folder cannot hold the model's MLP widths. If they differ, vLLM must be able to run
// the model's graph with a width per layer.
func CheckWidths(c models.Config) error {
	if _, uniform := c.UniformWidth(); uniform {
		return nil
	}
	return CheckPerLayer(c.Architecture)
}

// CheckPerLayer returns an error if a folder cannot hold a model of this GGUF architecture whose layers have different
// widths.
func CheckPerLayer(architecture string) error {
	if row, ok := arch.Named(architecture); ok && row.InFolder().PerLayerFolder {
		return nil
	}
	return fmt.Errorf("%w: architecture %q as a safetensors folder with an MLP width per layer: vLLM has no such model; use --budget uniform",
		models.ErrUnsupported, architecture)
}

// setWidths sets the fields of config.json that hold the MLP widths: a single number, or one per layer.
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
	fields["architectures"] = []string{perLayerArchitecture}
	fields["model_type"] = "nemotron-nas"
	classes := map[string]string{}
	for _, m := range perLayerModules {
		classes[m.auto] = m.module + "." + m.class
	}
	fields["auto_map"] = classes
	// The model class derives from Llama's. Another architecture's config.json may omit fields because its defaults
	// differ from Llama's, or contradict them.
	fields["num_key_value_heads"], fields["head_dim"] = c.KVHeads, c.HeadDim
	fields["rms_norm_eps"], fields["hidden_act"] = exactFloat(c.RMSEpsilon), arch.SiLU
	fields["tie_word_embeddings"] = c.TiedEmbeddings
	fields["attention_bias"], fields["mlp_bias"], fields["qkv_bias"] = false, false, c.AttentionBias
	// The model class has no sliding window. Up to the length of the window its attention is the same.
	fields["max_position_embeddings"] = c.ContextLength
	for _, window := range []string{"sliding_window", "use_sliding_window", "max_window_layers", "layer_types"} {
		delete(fields, window)
	}
}
