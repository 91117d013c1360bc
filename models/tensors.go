package models

import "fmt"

// Role says what a tensor does in the model, whatever its file calls it. Shapes are [out, in], slowest axis first.
type Role int

// The tensors of a Llama-family decoder. Those from AttnNorm to FFNDown exist once a layer.
const (
	TokenEmbedding Role = iota // [vocab, hidden]
	RoPEFreqs                  // [ropeDim/2], optional
	OutputNorm                 // [hidden]
	Output                     // [vocab, hidden], absent when embeddings are tied
	AttnNorm                   // [hidden]
	AttnQ                      // [heads*headDim, hidden]
	AttnK                      // [kvHeads*headDim, hidden]
	AttnV                      // [kvHeads*headDim, hidden]
	AttnQBias                  // [heads*headDim], with AttentionBias
	AttnKBias                  // [kvHeads*headDim], with AttentionBias
	AttnVBias                  // [kvHeads*headDim], with AttentionBias
	AttnQNorm                  // [headDim], with QKNorm
	AttnKNorm                  // [headDim], with QKNorm
	AttnOutput                 // [hidden, heads*headDim]
	FFNNorm                    // [hidden]
	FFNGate                    // [ffn, hidden]
	FFNUp                      // [ffn, hidden]
	FFNDown                    // [hidden, ffn]
)

var roleNames = [...]string{
	TokenEmbedding: "token_embd.weight",
	RoPEFreqs:      "rope_freqs.weight",
	OutputNorm:     "output_norm.weight",
	Output:         "output.weight",
	AttnNorm:       "attn_norm.weight",
	AttnQ:          "attn_q.weight",
	AttnK:          "attn_k.weight",
	AttnV:          "attn_v.weight",
	AttnQBias:      "attn_q.bias",
	AttnKBias:      "attn_k.bias",
	AttnVBias:      "attn_v.bias",
	AttnQNorm:      "attn_q_norm.weight",
	AttnKNorm:      "attn_k_norm.weight",
	AttnOutput:     "attn_output.weight",
	FFNNorm:        "ffn_norm.weight",
	FFNGate:        "ffn_gate.weight",
	FFNUp:          "ffn_up.weight",
	FFNDown:        "ffn_down.weight",
}

// PerLayer tells whether the tensor exists once in every decoder layer.
func (r Role) PerLayer() bool { return r >= AttnNorm }

// TensorName is the GGUF name of a tensor; layer is ignored for those that exist once.
func TensorName(role Role, layer int) string {
	if role.PerLayer() {
		return fmt.Sprintf("blk.%d.%s", layer, roleNames[role])
	}
	return roleNames[role]
}

// Weights gives a model's parameters as float32, one tensor at a time, so that no caller holds more than it needs.
//
// # Concurrency
//
// Tensor may be called from several goroutines.
type Weights interface {
	// Config is the architecture, already validated.
	Config() Config
	// Tensor returns the values of a tensor in row-major order, float32[shape...] with the slowest axis first. The
	// slice belongs to the caller. A tensor that the model lacks gives an error that wraps ErrNoTensor.
	Tensor(role Role, layer int) (values []float32, shape []int, err error)
}
