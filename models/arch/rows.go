package arch

// rows is the table, in the order of error messages and pages. To add a row, follow "Add an architecture" in
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
	{
		Name:           "smollm3",
		Folders:        []Folder{{Name: "SmolLM3ForCausalLM", ModelType: "smollm3"}},
		RoPE:           RoPEPairs,
		UnrotatedEvery: 4,
		OptionalBias:   true,
		Activation:     SiLU,
		ConfigFields: map[string]any{
			"attention_bias": false, "mlp_bias": false, "use_sliding_window": false, "sliding_window": nil, "no_rope_layer_interval": 4,
			"pad_token_id": nil, // the default of transformers is too large an id for a small vocabulary
		},
		PreTokenizer: "llama-bpe",
	},
	{
		Name:         "ernie4_5",
		Base:         "llama",
		PerLayer:     "deci",
		RoPE:         RoPEPairs,
		OptionalBias: true,
		Activation:   SiLU,
		PreTokenizer: "smollm",
	},
	{
		Name:              "gemma3",
		Folders:           []Folder{{Name: "Gemma3ForCausalLM", ModelType: "gemma3_text"}},
		RoPE:              RoPEHalves,
		QKNorm:            true,
		PostNorms:         true,
		NormOffset:        true,
		EmbeddingScale:    true,
		RoPEScaling:       true,
		WindowEvery:       6,
		WindowRoPEBase:    10000,
		HiddenScaleLayers: 62, // Gemma 3 27B
		Activation:        GELU,
		ConfigFields: map[string]any{
			"attention_bias": false, "attn_logit_softcapping": nil, "final_logit_softcapping": nil,
		},
		PreTokenizer: "qwen2", // published models have SentencePiece vocabularies, without a pre-tokenizer
	},
}
