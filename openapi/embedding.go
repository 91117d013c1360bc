package openapi

import "math"

// MaxInputs is the maximum number of texts in one embeddings request. It is OpenAI's number, and clients size their
// batches by it.
const MaxInputs = 2048

// EmbeddingRequest is the body of POST /v1/embeddings.
type EmbeddingRequest struct {
	Model  ModelName
	Inputs []Prompt
	Base64 bool // vectors as base64 of little-endian float32, not as lists of numbers
	// Dimensions is the vector length that the client expects; 0: any. Vectors cannot be shortened, so it must be the
	// model's.
	Dimensions int
}

// DecodeEmbedding reads the body of POST /v1/embeddings. The error is an *Error.
func DecodeEmbedding(body []byte) (*EmbeddingRequest, error) {
	f := parseBody(body)
	var common Common
	common.readModel(f)
	req := &EmbeddingRequest{Model: common.Model, Inputs: readPrompts(f, "input", MaxInputs)}
	encoding := "float"
	f.str("encoding_format", 32, &encoding)
	if encoding != "float" && encoding != "base64" {
		f.refuse("encoding_format", CodeInvalidValue, "encoding_format is %q but must be float or base64", encoding)
	}
	req.Base64 = encoding == "base64"
	f.count("dimensions", 1, math.MaxInt32, &req.Dimensions)
	var ignored string
	f.str("user", maxIdentifierSize, &ignored)
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// EmbeddingResponse is the response of POST /v1/embeddings.
type EmbeddingResponse struct {
	Object string         `json:"object"` // "list"
	Data   []Embedding    `json:"data"`
	Model  string         `json:"model"`
	Usage  EmbeddingUsage `json:"usage"`
}

// Embedding is the vector of one input.
type Embedding struct {
	Object    string `json:"object"` // "embedding"
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // []float32, or a base64 string
}

// EmbeddingUsage counts the tokens of all inputs.
type EmbeddingUsage struct {
	PromptTokens int `json:"prompt_tokens"`
	TotalTokens  int `json:"total_tokens"`
}
