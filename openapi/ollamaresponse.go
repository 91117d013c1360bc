package openapi

import (
	"encoding/json"
	"time"
)

// OllamaVersion is the version of Ollama whose API the server speaks. Clients ask for it to find out what they may send.
const OllamaVersion = "0.17.4"

// OllamaChatResponse is a line of the response of POST /api/chat, or all of it.
type OllamaChatResponse struct {
	Model      string         `json:"model"` // the variant that answered
	CreatedAt  string         `json:"created_at"`
	Message    OllamaMessage  `json:"message"`
	Done       bool           `json:"done"`
	DoneReason string         `json:"done_reason,omitempty"`
	Logprobs   []TokenLogprob `json:"logprobs,omitempty"`
	OllamaStats
}

// OllamaGenerateResponse is a line of the response of POST /api/generate, or all of it.
type OllamaGenerateResponse struct {
	Model      string         `json:"model"`
	CreatedAt  string         `json:"created_at"`
	Response   string         `json:"response"`
	Thinking   string         `json:"thinking,omitempty"`
	Done       bool           `json:"done"`
	DoneReason string         `json:"done_reason,omitempty"`
	Context    []int          `json:"context,omitempty"` // tokens of prompt and answer
	Logprobs   []TokenLogprob `json:"logprobs,omitempty"`
	OllamaStats
}

// Reasons for the end of an answer in Ollama's API.
const (
	OllamaStop   = "stop"
	OllamaLength = "length"
	OllamaLoad   = "load" // there was nothing to answer
)

// OllamaMessage is the model's turn, or what is new of it.
type OllamaMessage struct {
	Role      string           `json:"role"` // "assistant"
	Content   string           `json:"content"`
	Thinking  string           `json:"thinking,omitempty"`
	ToolCalls []OllamaToolCall `json:"tool_calls,omitempty"`
}

// OllamaToolCall is a call that the model requests.
type OllamaToolCall struct {
	ID       string         `json:"id"`
	Function OllamaFunction `json:"function"`
}

// OllamaFunction names a function and its arguments.
type OllamaFunction struct {
	Index     int             `json:"index"` // among the calls of the answer
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"` // an object
}

// OllamaStats are the counts and times, in nanoseconds, of a whole answer.
type OllamaStats struct {
	TotalDuration      time.Duration `json:"total_duration,omitempty"`
	LoadDuration       time.Duration `json:"load_duration,omitempty"` // until the variant was loaded
	PromptEvalCount    int           `json:"prompt_eval_count,omitempty"`
	PromptEvalDuration time.Duration `json:"prompt_eval_duration,omitempty"` // until the first token, the queue included
	EvalCount          int           `json:"eval_count,omitempty"`
	EvalDuration       time.Duration `json:"eval_duration,omitempty"`
}

// OllamaTime writes a time as Ollama does.
func OllamaTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// OllamaEmbedResponse is the response of POST /api/embed.
type OllamaEmbedResponse struct {
	Model           string        `json:"model"`
	Embeddings      [][]float32   `json:"embeddings"`
	TotalDuration   time.Duration `json:"total_duration,omitempty"`
	LoadDuration    time.Duration `json:"load_duration,omitempty"`
	PromptEvalCount int           `json:"prompt_eval_count,omitempty"`
}

// OllamaEmbeddingResponse is the response of POST /api/embeddings.
type OllamaEmbeddingResponse struct {
	Embedding []float32 `json:"embedding"`
}

// OllamaModels is the response of GET /api/tags and /api/ps.
type OllamaModels struct {
	Models []OllamaModel `json:"models"`
}

// OllamaModel is one model of a list.
type OllamaModel struct {
	Name       string        `json:"name"` // with a tag
	Model      string        `json:"model"`
	ModifiedAt string        `json:"modified_at,omitempty"` // of /api/tags
	Size       int64         `json:"size"`                  // bytes of the variant's file; 0 until it is made
	Digest     string        `json:"digest"`                // of the variant's tensors; empty until it is loaded
	Details    OllamaDetails `json:"details"`
	Context    int           `json:"context_length,omitempty"` // of /api/ps
}

// OllamaDetails describe a model's file.
type OllamaDetails struct {
	ParentModel       string   `json:"parent_model"` // none
	Format            string   `json:"format"`
	Family            string   `json:"family"`
	Families          []string `json:"families"`
	ParameterSize     string   `json:"parameter_size"`
	QuantizationLevel string   `json:"quantization_level"`
}

// OllamaShow is the response of POST /api/show.
type OllamaShow struct {
	Parameters   string         `json:"parameters"`
	Template     string         `json:"template"` // in Jinja, not in Go's language
	Details      OllamaDetails  `json:"details"`
	ModelInfo    map[string]any `json:"model_info"` // keys of the GGUF file; the context length is that of a request
	Capabilities []string       `json:"capabilities"`
	ModifiedAt   string         `json:"modified_at"`
}

// OllamaStatus is a line of the response of POST /api/pull.
type OllamaStatus struct {
	Status string `json:"status"`
}

// OllamaError is the body of every response of Ollama's API with a status of 400 or more, and the last line of a stream that
// failed.
type OllamaError struct {
	Error string `json:"error"`
}
