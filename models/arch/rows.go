package arch

// rows is the table, in the order in which errors and pages list it. To add a row, follow "Add an architecture" in
// CONTRIBUTING.md.
var rows = [...]Architecture{
	{
		Name: "llama",
		Folders: []Folder{
			{Name: "LlamaForCausalLM", ModelType: "llama", OptionalKVHeads: true},
			{Name: "MistralForCausalLM", ModelType: "mistral"},
		},
		PerLayer:       "deci",
		PerLayerFolder: true,
		RoPE:           RoPEPairs,
		RoPEFactors:    true,
		OptionalBias:   true,
		Activation:     SiLU,
		ConfigFields:   map[string]any{"attention_bias": false, "mlp_bias": false, "pretraining_tp": 1},
		PreTokenizer:   "smollm",
	},
	{
		Name:         "deci",
		Base:         "llama",
		PerLayer:     "deci",
		RoPE:         RoPEPairs,
		RoPEFactors:  true,
		OptionalBias: true,
		Activation:   SiLU,
		PreTokenizer: "smollm",
	},
	{
		Name:           "qwen2",
		Folders:        []Folder{{Name: "Qwen2ForCausalLM", ModelType: "qwen2"}},
		PerLayer:       "deci",
		PerLayerFolder: true,
		RoPE:           RoPEHalves,
		AttentionBias:  true,
		HiddenHeads:    true,
		Activation:     SiLU,
		ConfigFields:   map[string]any{"use_sliding_window": false, "sliding_window": nil},
		PreTokenizer:   "qwen2",
	},
	{
		Name:         "qwen3",
		Folders:      []Folder{{Name: "Qwen3ForCausalLM", ModelType: "qwen3"}},
		PerLayer:     "openelm",
		RoPE:         RoPEHalves,
		QKNorm:       true,
		Activation:   SiLU,
		ConfigFields: map[string]any{"use_sliding_window": false, "sliding_window": nil, "attention_bias": false},
		PreTokenizer: "qwen2",
	},
	{
		Name:         "openelm",
		Base:         "qwen3",
		PerLayer:     "openelm",
		RoPE:         RoPEHalves,
		QKNorm:       true,
		FusedQKV:     true,
		TiedOnly:     true,
		Activation:   SiLU,
		PreTokenizer: "qwen2",
	},
}
