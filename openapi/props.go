package openapi

// Props is the response of GET /props, in llama-server's words.
type Props struct {
	Settings     Settings        `json:"default_generation_settings"`
	Slots        int             `json:"total_slots"`
	ModelAlias   string          `json:"model_alias"`
	ModelPath    string          `json:"model_path"` // the file's name without its folder
	ChatTemplate string          `json:"chat_template"`
	BOS          string          `json:"bos_token"`
	EOS          string          `json:"eos_token"`
	Modalities   PropsModalities `json:"modalities"`
	BuildInfo    string          `json:"build_info"`
	Sleeping     bool            `json:"is_sleeping"` // never
}

// PropsModalities are what a model reads beside text: nothing.
type PropsModalities struct {
	Vision bool `json:"vision"`
	Audio  bool `json:"audio"`
}

// Settings are what holds for requests that say nothing.
type Settings struct {
	Context int           `json:"n_ctx"`
	Params  SettingParams `json:"params"`
}

// SettingParams is the part of Common that decides how tokens are sampled, in llama-server's words.
type SettingParams struct {
	Temperature      float64  `json:"temperature"`
	TopK             int      `json:"top_k"`
	TopP             float64  `json:"top_p"`
	MinP             float64  `json:"min_p"`
	TypicalP         float64  `json:"typical_p"`
	RepeatPenalty    float64  `json:"repeat_penalty"`
	PresencePenalty  float64  `json:"presence_penalty"`
	FrequencyPenalty float64  `json:"frequency_penalty"`
	Seed             int64    `json:"seed"`       // -1: random
	MaxTokens        int      `json:"max_tokens"` // -1: the rest of the context
	Predict          int      `json:"n_predict"`  // the same
	Stop             []string `json:"stop"`
	IgnoreEOS        bool     `json:"ignore_eos"`
	Stream           bool     `json:"stream"`
}

// DefaultSettings returns the settings of a request that has its input alone.
func DefaultSettings(context int, defaults Sampling) Settings {
	c := newCommon(defaults)
	return Settings{Context: context, Params: SettingParams{
		Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP, TypicalP: c.TypicalP, RepeatPenalty: c.RepetitionPenalty,
		PresencePenalty: c.PresencePenalty, FrequencyPenalty: c.FrequencyPenalty, Seed: -1, MaxTokens: -1, Predict: -1,
		Stop: []string{}, IgnoreEOS: c.IgnoreEOS, Stream: c.Stream,
	}}
}

// Slot is an entry of the response of GET /slots: one of the sequences that answer side by side. Its names are llama-server's,
// but for Model and the tokens.
type Slot struct {
	ID              int      `json:"id"`
	Model           string   `json:"model"` // the variant, "name@ratio"
	Context         int      `json:"n_ctx"`
	Speculative     bool     `json:"speculative"` // never
	Processing      bool     `json:"is_processing"`
	CacheTokens     int      `json:"n_cache_tokens"` // in the KV cache, for later prompts too
	PromptTokens    int      `json:"n_prompt_tokens"`
	PromptProcessed int      `json:"n_prompt_tokens_processed"` // in the KV cache, taken from the prompt cache or prefilled
	Next            SlotNext `json:"next_token"`
}

// SlotNext is how far the answer of a Slot is.
type SlotNext struct {
	HasNext   bool `json:"has_next_token"`
	Remaining int  `json:"n_remain"`
	Decoded   int  `json:"n_decoded"`
}
