package openapi

// Model is one entry of /v1/models.
type Model struct {
	ID      string `json:"id"`     // "name" or "name@ratio"
	Object  string `json:"object"` // "model"
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	// Card says what the variant is and what pruning cost; nil while that is not known.
	Card *Card `json:"prunellm,omitempty"`
}

// Card is what prunellm adds to a model's entry. Values that are not measured yet are absent.
type Card struct {
	Ratio         float64 `json:"ratio"`               // asked for
	RatioReached  float64 `json:"ratio_reached"`       // share of all parameters removed
	Parameters    int64   `json:"parameters"`          // weights left
	Bytes         int64   `json:"bytes"`               // of the GGUF file
	KeptMLP       float64 `json:"kept_mlp"`            // share of MLP neurons left
	ContextTokens int     `json:"context_tokens"`      // one sequence may hold
	MaxRatio      float64 `json:"max_ratio,omitempty"` // the largest that the model can be asked for
	Digest        string  `json:"digest,omitempty"`    // of the variant: the same for the same tensors

	// The cost of pruning, measured on held-out calibration text. All fields are present or none.
	Perplexity      *float64 `json:"perplexity,omitempty"`       // of the variant as it is served
	PerplexityRatio *float64 `json:"perplexity_ratio,omitempty"` // over the dense model's on the same tokens
	KLToDense       *float64 `json:"kl_to_dense,omitempty"`      // nats per token, Kullback-Leibler divergence from dense
	Top1Agreement   *float64 `json:"top1_agreement,omitempty"`   // share of positions with dense's likeliest token, in [0,1]
	EvalTokens      int      `json:"eval_tokens,omitempty"`      // positions measured

	// The gain of recovery training on held-out text; nil without training.
	Recovery *CardRecovery `json:"recovery,omitempty"`

	// The speed of one stream on this host.
	OutputTokensPerSec *float64 `json:"output_tokens_per_second,omitempty"` // generated
	ITL                *float64 `json:"itl_ms,omitempty"`                   // median time between two tokens, milliseconds
	TTFT               *float64 `json:"ttft_ms,omitempty"`                  // median time to the first token, milliseconds
}

// CardRecovery is the gain of recovery training.
type CardRecovery struct {
	Tokens           int     `json:"tokens"`    // trained on
	Seconds          float64 `json:"seconds"`   // of working time
	KLBefore         float64 `json:"kl_before"` // nats a token, on weights as they are stored
	KLAfter          float64 `json:"kl_after"`
	PerplexityBefore float64 `json:"perplexity_before"`
	PerplexityAfter  float64 `json:"perplexity_after"`
}

// ModelList is the answer of GET /v1/models.
type ModelList struct {
	Object string  `json:"object"` // "list"
	Data   []Model `json:"data"`
}

// TokenizeRequest is the body of POST /tokenize.
type TokenizeRequest struct {
	Model      ModelName // optional
	Content    string
	AddSpecial bool // put the beginning-of-sequence token in front if the model wants one
}

// TokenizeResponse is its answer.
type TokenizeResponse struct {
	Tokens []int `json:"tokens"`
}

// DecodeTokenize reads the body of POST /tokenize. The error is an *Error.
func DecodeTokenize(body []byte) (*TokenizeRequest, error) {
	f := parseBody(body)
	var common Common
	common.readModel(f)
	req := &TokenizeRequest{Model: common.Model}
	req.readText(f)
	f.only("parse_special", "special tokens are always parsed", "true")
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// readText reads the text, which vLLM calls prompt, and whether tokens may be added, which it calls add_special_tokens.
func (r *TokenizeRequest) readText(f *fields) {
	if _, ok := f.get("content"); !ok && f.members["prompt"] != nil {
		f.text("prompt", &r.Content)
		f.boolean("add_special_tokens", &r.AddSpecial)
		return
	}
	f.require("content")
	f.text("content", &r.Content)
	f.boolean("add_special", &r.AddSpecial)
}

// TokenizerInfo is the answer of GET /tokenizer_info.
type TokenizerInfo struct {
	BOS *string `json:"bos_token"`
	EOS *string `json:"eos_token"`
	Pad *string `json:"pad_token"` // none
}

// DetokenizeRequest is the body of POST /detokenize.
type DetokenizeRequest struct {
	Model  ModelName // optional
	Tokens []int
}

// DetokenizeResponse is its answer.
type DetokenizeResponse struct {
	Content string `json:"content"`
	Prompt  string `json:"prompt"` // the same, by the name that vLLM has for it
}

// DecodeDetokenize reads the body of POST /detokenize. The error is an *Error.
func DecodeDetokenize(body []byte) (*DetokenizeRequest, error) {
	f := parseBody(body)
	var common Common
	common.readModel(f)
	req := &DetokenizeRequest{Model: common.Model}
	f.require("tokens")
	if raw, ok := f.get("tokens"); ok {
		req.Tokens = f.tokens("tokens", raw)
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// ApplyTemplateRequest is the body of POST /apply-template.
type ApplyTemplateRequest struct {
	Model               ModelName // optional
	Messages            []Message
	Tools               []Tool
	AddGenerationPrompt bool // end with the beginning of the model's turn; true unless said otherwise
}

// ApplyTemplateResponse is its answer.
type ApplyTemplateResponse struct {
	Prompt string `json:"prompt"`
}

// DecodeApplyTemplate reads the body of POST /apply-template. The error is an *Error.
func DecodeApplyTemplate(body []byte) (*ApplyTemplateRequest, error) {
	f := parseBody(body)
	var common Common
	common.readModel(f)
	req := &ApplyTemplateRequest{Model: common.Model, AddGenerationPrompt: true}
	turn := newTurn()
	turn.Messages = readMessages(f)
	turn.readTools(f, true)
	req.Messages = turn.Messages
	if req.Tools = turn.Tools; turn.ToolChoice.Mode == ToolsNone {
		req.Tools = nil
	}
	f.boolean("add_generation_prompt", &req.AddGenerationPrompt)
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// Health is the answer of /healthz and of a /readyz that is ready.
type Health struct {
	Status string `json:"status"` // "ok" or "ready"
	// Progress is one line on the startup variant while the dense model answers in its place.
	Progress string `json:"progress,omitempty"`
}
