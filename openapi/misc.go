package openapi

// Model is one entry of /v1/models.
type Model struct {
	ID      string `json:"id"`     // "name" or "name@ratio"
	Object  string `json:"object"` // "model"
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	// Root is the model's own name, of which the id is an alias or a variant.
	Root         string      `json:"root,omitempty"`
	MaxModelLen  int         `json:"max_model_len,omitempty"` // tokens of one request at most, as vLLM has it
	Capabilities []string    `json:"capabilities,omitempty"`
	Architecture *Modalities `json:"architecture,omitempty"`
	Meta         *ModelMeta  `json:"meta,omitempty"` // as llama-server has it
	// Card describes the variant and the cost of pruning; nil until it is known.
	Card *Card `json:"prunellm,omitempty"`
}

// Modalities are what a model reads and writes.
type Modalities struct {
	Input  []string `json:"input_modalities"`
	Output []string `json:"output_modalities"`
}

// ModelMeta describes a model in llama-server's words.
type ModelMeta struct {
	VocabType      int   `json:"vocab_type"` // 1: SentencePiece, 2: byte-level BPE
	Vocabulary     int   `json:"n_vocab"`
	TrainedContext int   `json:"n_ctx_train"`
	Context        int   `json:"n_ctx"` // tokens of one request at most
	HiddenSize     int   `json:"n_embd"`
	Parameters     int64 `json:"n_params,omitempty"` // of the variant, once it is loaded
	Bytes          int64 `json:"size,omitempty"`     // likewise
}

// Card is what prunellm adds to a model's entry. Values that are not measured yet are absent.
type Card struct {
	Ratio         float64 `json:"ratio"`               // requested
	RatioReached  float64 `json:"ratio_reached"`       // share of all parameters removed
	Parameters    int64   `json:"parameters"`          // weights that remain
	Bytes         int64   `json:"bytes"`               // of the GGUF file
	KeptMLP       float64 `json:"kept_mlp"`            // share of MLP neurons that remain
	ContextTokens int     `json:"context_tokens"`      // maximum tokens of one sequence
	MaxRatio      float64 `json:"max_ratio,omitempty"` // the largest ratio that the model supports
	Digest        string  `json:"digest,omitempty"`    // of the variant's tensors
	Stage         string  `json:"stage,omitempty"`     // "dense", "quick", "refined" or "healed"

	// The cost of pruning on held-out calibration text. Either all fields are present or none.
	Perplexity      *float64 `json:"perplexity,omitempty"`       // of the variant as served
	PerplexityRatio *float64 `json:"perplexity_ratio,omitempty"` // relative to the dense model's on the same tokens
	KLToDense       *float64 `json:"kl_to_dense,omitempty"`      // nats per token, Kullback-Leibler divergence from dense
	Top1Agreement   *float64 `json:"top1_agreement,omitempty"`   // share of positions with the dense model's likeliest token, in [0,1]
	EvalTokens      int      `json:"eval_tokens,omitempty"`      // positions measured

	// The gain of recovery training on held-out text; nil without training.
	Recovery *CardRecovery `json:"recovery,omitempty"`

	// The speed of one stream on this host.
	OutputTokensPerSec *float64 `json:"output_tokens_per_second,omitempty"` // generated
	ITL                *float64 `json:"itl_ms,omitempty"`                   // median time between two tokens, milliseconds
	TTFT               *float64 `json:"ttft_ms,omitempty"`                  // median time to the first token, milliseconds
	ITLSpread          *float64 `json:"itl_spread,omitempty"`               // longest less shortest measurement, over the median
	TTFTSpread         *float64 `json:"ttft_spread,omitempty"`              // the same for ttft_ms
	MeasuredAt         int64    `json:"measured_at,omitempty"`              // seconds since 1970; the same for variants that were measured in turns
	Provisional        bool     `json:"provisional,omitempty"`              // measured while other programs ran; it will be measured again
}

// CardRecovery is the gain of recovery training.
type CardRecovery struct {
	Tokens           int     `json:"tokens"`    // trained on
	Seconds          float64 `json:"seconds"`   // of working time
	KLBefore         float64 `json:"kl_before"` // nats per token, on the weights as stored
	KLAfter          float64 `json:"kl_after"`
	PerplexityBefore float64 `json:"perplexity_before"`
	PerplexityAfter  float64 `json:"perplexity_after"`
}

// ModelList is the response of GET /v1/models.
type ModelList struct {
	Object string  `json:"object"` // "list"
	Data   []Model `json:"data"`
}

// TokenizeRequest is the body of POST /tokenize.
type TokenizeRequest struct {
	Model      ModelName // optional
	Content    string
	AddSpecial bool // prepend the beginning-of-sequence token if the model uses one
}

// TokenizeResponse is the response of POST /tokenize.
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

// readText reads the text, which vLLM calls prompt, and whether to add special tokens, which vLLM calls
// add_special_tokens.
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

// TokenizerInfo is the response of GET /tokenizer_info.
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

// DetokenizeResponse is the response of POST /detokenize.
type DetokenizeResponse struct {
	Content string `json:"content"`
	Prompt  string `json:"prompt"` // the same, under vLLM's name
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
	Model    ModelName // optional
	Messages []Message
	Tools    []Tool
	Thinking Thinking
	Opening  Opening
}

// ApplyTemplateResponse is the response of POST /apply-template.
type ApplyTemplateResponse struct {
	Prompt string `json:"prompt"`
}

// DecodeApplyTemplate reads the body of POST /apply-template. The error is an *Error.
func DecodeApplyTemplate(body []byte) (*ApplyTemplateRequest, error) {
	f := parseBody(body)
	var common Common
	common.readModel(f)
	req := &ApplyTemplateRequest{Model: common.Model}
	turn := newTurn()
	turn.Messages = readMessages(f)
	turn.readTools(f, true)
	turn.readThinking(f)
	turn.readOpening(f)
	req.Messages, req.Thinking, req.Opening = turn.Messages, turn.Thinking, turn.Opening
	if req.Tools = turn.Tools; turn.ToolChoice.Mode == ToolsNone {
		req.Tools = nil
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// Version is the response of /version.
type Version struct {
	Version string `json:"version"`
}

// Health is the response of /healthz and, once ready, of /readyz.
type Health struct {
	Status string `json:"status"` // "ok" or "ready"
	// Progress is one line about the startup variant while the dense model answers instead.
	Progress string `json:"progress,omitempty"`
	// Stage is that of the file that answers for the startup variant, as on its card.
	Stage string `json:"stage,omitempty"`
	// Next is one line about the stage that replaces it next, and how far that one is.
	Next string `json:"next,omitempty"`
}
