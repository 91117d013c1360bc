package models

import "fmt"

// Slot names one tensor of a model by its role and, for roles that exist once per layer, its layer.
type Slot struct {
	Role  Role
	Layer int
}

// Name returns the tensor's GGUF name.
func (s Slot) Name() string { return TensorName(s.Role, s.Layer) }

// FileTensor is one tensor of a GGUF file. It holds the rows of one slot, or of several slots one after another.
type FileTensor struct {
	Name  string
	Parts []Slot
	Shape []int // slowest axis first
}

// FileTensors lists every tensor of a GGUF file of this architecture, in the order of Slots.
func (c Config) FileTensors() []FileTensor {
	var tensors []FileTensor
	for _, slot := range c.Slots() {
		shape := c.TensorShape(slot.Role, slot.Layer)
		if c.FusedQKV && (slot.Role == AttnK || slot.Role == AttnV) {
			fused := &tensors[len(tensors)-1]
			fused.Parts = append(fused.Parts, slot)
			fused.Shape[0] += shape[0]
			continue
		}
		tensors = append(tensors, FileTensor{Name: c.fileName(slot), Parts: []Slot{slot}, Shape: shape})
	}
	return tensors
}

// fileName returns the name of the tensor of a GGUF file that holds the slot.
func (c Config) fileName(slot Slot) string {
	if c.FusedQKV && (slot.Role == AttnQ || slot.Role == AttnK || slot.Role == AttnV) {
		return fmt.Sprintf("blk.%d.attn_qkv.weight", slot.Layer)
	}
	return slot.Name()
}

// Slots lists every tensor of a model of this architecture in a fixed order: first the tensors that exist once, then
// those of each layer. q, k and v are three slots even if a file stores them as one tensor (see FileTensors).
func (c Config) Slots() []Slot {
	slots := []Slot{{Role: TokenEmbedding}, {Role: OutputNorm}}
	if !c.TiedEmbeddings {
		slots = append(slots, Slot{Role: Output})
	}
	if c.RoPEFactors != nil {
		slots = append(slots, Slot{Role: RoPEFreqs})
	}
	for layer := range c.Layers {
		for role := AttnNorm; role <= FFNDown; role++ {
			if c.has(role) {
				slots = append(slots, Slot{role, layer})
			}
		}
	}
	return slots
}

func (c Config) has(role Role) bool {
	switch role {
	case AttnQBias, AttnKBias, AttnVBias:
		return c.AttentionBias
	case AttnQNorm, AttnKNorm:
		return c.QKNorm
	case AttnPostNorm, FFNPostNorm:
		return c.PostNorms
	}
	return true
}

// TensorShape returns the tensor's shape in this architecture, slowest axis first.
func (c Config) TensorShape(role Role, layer int) []int {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	switch role {
	case TokenEmbedding, Output:
		return []int{c.VocabSize, c.HiddenSize}
	case RoPEFreqs:
		return []int{c.RoPEDim / 2}
	case AttnQ:
		return []int{q, c.HiddenSize}
	case AttnK, AttnV:
		return []int{kv, c.HiddenSize}
	case AttnQBias:
		return []int{q}
	case AttnKBias, AttnVBias:
		return []int{kv}
	case AttnQNorm, AttnKNorm:
		return []int{c.HeadDim}
	case AttnOutput:
		return []int{c.HiddenSize, q}
	case FFNGate, FFNUp:
		return []int{c.FFN[layer], c.HiddenSize}
	case FFNDown:
		return []int{c.HiddenSize, c.FFN[layer]}
	}
	return []int{c.HiddenSize} // the norms
}

// RotatedHeads returns the number of heads whose rows of HeadDim elements a tensor holds in the order of RoPELayout. These
// are the matrices and biases of q and k, and their norms, which hold one head for all. For any other tensor it returns 0.
func (c Config) RotatedHeads(role Role) int {
	switch role {
	case AttnQ, AttnQBias:
		return c.Heads
	case AttnK, AttnKBias:
		return c.KVHeads
	case AttnQNorm, AttnKNorm:
		return 1
	}
	return 0
}

// UniformWidth returns the MLP width of all layers, or false if the layers differ.
func (c Config) UniformWidth() (int, bool) {
	for _, width := range c.FFN {
		if width != c.FFN[0] {
			return 0, false
		}
	}
	return c.FFN[0], true
}
