package models

import "fmt"

// Role is a tensor's function in the model, independent of its name in a file. Shapes are [out, in], slowest axis
// first.
type Role int

// The tensors of a Llama-family decoder. The roles from AttnNorm to FFNDown exist once per layer.
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
	AttnPostNorm               // [hidden], with PostNorms
	FFNNorm                    // [hidden]
	FFNPostNorm                // [hidden], with PostNorms
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
	AttnPostNorm:   "post_attention_norm.weight",
	FFNNorm:        "ffn_norm.weight",
	FFNPostNorm:    "post_ffw_norm.weight",
	FFNGate:        "ffn_gate.weight",
	FFNUp:          "ffn_up.weight",
	FFNDown:        "ffn_down.weight",
}

// PerLayer reports whether the tensor exists once in every decoder layer.
func (r Role) PerLayer() bool { return r >= AttnNorm }

// TensorName returns the GGUF name of a tensor. It ignores layer if the tensor exists only once.
func TensorName(role Role, layer int) string {
	if role.PerLayer() {
		return fmt.Sprintf("blk.%d.%s", layer, roleNames[role])
	}
	return roleNames[role]
}

// Weights reads a model's parameters as float32, one tensor at a time, so that only the tensors in use take memory.
//
// # Concurrency
//
// Tensor may be called from several goroutines.
type Weights interface {
	// Config returns the validated architecture.
	Config() Config
	// Tensor returns the values of a tensor in row-major order, float32[shape...] with the slowest axis first. The
	// slice belongs to the caller. For a tensor that the model does not have, the error wraps ErrNoTensor.
	Tensor(role Role, layer int) (values []float32, shape []int, err error)
}
