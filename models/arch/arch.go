// Package arch is the table of architectures that prunellm prunes. Rows has one row per architecture; every other
// package asks the table instead of comparing names.
//
// All rows are decoders with RMS norms, rotary position embedding, grouped-query attention and gated MLPs, which is what
// models/llama computes. A row holds only what differs between them. What a single file decides (sizes, tied embeddings,
// biases of a GGUF file) is in models.Config.
//
// The package imports nothing of the project, so that models, convert and the tests of both can read it.
package arch

import (
	"slices"
	"strings"
)

// RoPELayout says which two elements of a head rotary position embedding rotates together. The zero value is no layout.
type RoPELayout int

const (
	// RoPEPairs rotates neighbours (2i, 2i+1).
	RoPEPairs RoPELayout = iota + 1
	// RoPEHalves rotates (i, i+dim/2), as every safetensors folder does.
	RoPEHalves
)

// Activation is the function between gate and up of an MLP, by its name in config.json ("hidden_act").
type Activation string

// SiLU is x * sigmoid(x).
const SiLU Activation = "silu"

// Architecture is one row of the table.
type Architecture struct {
	// Name is general.architecture of a GGUF file, the prefix of its keys and llama.cpp's name of the architecture.
	Name string
	// Folders are the Hugging Face architectures that become this one. The exporter writes the first.
	Folders []Folder
	// Base names the row with the same graph whose folder the exporter writes when Folders is empty.
	Base string
	// PerLayer names the row that computes the same with an MLP width per layer: this row itself, another one, or "" when
	// llama.cpp has none. Pruning then takes the uniform budget only. The row may order q and k otherwise (RoPE): package
	// convert reorders them.
	PerLayer string
	// PerLayerFolder reports whether vLLM computes this graph with an MLP width per layer, as DeciLMForCausalLM: RoPE in
	// halves, optional biases of q, k and v, no norms of q and k.
	PerLayerFolder bool
	// RoPE is the order of the rows of q and k in GGUF files.
	RoPE RoPELayout
	// RoPEFactors reports whether llama.cpp reads the tensor rope_freqs: the model can have frequency factors.
	RoPEFactors bool
	// UnrotatedEvery is a number n for an architecture whose every n-th layer has no RoPE; 0: all layers have it.
	UnrotatedEvery int
	// AttentionBias reports whether q, k and v of a folder have biases.
	AttentionBias bool
	// OptionalBias reports whether llama.cpp adds biases of q, k and v where a GGUF file has them.
	OptionalBias bool
	// QKNorm reports whether q and k are RMS-normalized per head before RoPE.
	QKNorm bool
	// FusedQKV reports whether a GGUF file has q, k and v as the rows of one tensor.
	FusedQKV bool
	// TiedOnly reports whether llama.cpp has no output matrix beside the embedding.
	TiedOnly bool
	// HiddenHeads reports whether llama.cpp requires that all heads together are as wide as the hidden size.
	HiddenHeads bool
	// Activation is the MLP's.
	Activation Activation
	// ConfigFields are the fields of config.json that the exporter writes beyond those that all architectures share.
	ConfigFields map[string]any
	// PreTokenizer is the pre-tokenizer of the published models by llama.cpp's name. It is only a habit, never a rule:
	// random test models follow it.
	PreTokenizer string
}

// Folder is a Hugging Face architecture: what config.json of a safetensors folder names.
type Folder struct {
	Name      string // the one entry of "architectures"
	ModelType string // "model_type"
	// OptionalKVHeads reports whether config.json may omit num_key_value_heads, which then equals num_attention_heads.
	OptionalKVHeads bool
}

// Rows returns the table. The slice belongs to the caller; what it points to is shared and must not be changed.
func Rows() []Architecture { return slices.Clone(rows[:]) }

// Named returns the row with that GGUF name.
func Named(name string) (Architecture, bool) {
	i := slices.IndexFunc(rows[:], func(a Architecture) bool { return a.Name == name })
	if i < 0 {
		return Architecture{}, false
	}
	return rows[i], true
}

// OfFolder returns the row and its folder with that Hugging Face name.
func OfFolder(name string) (Architecture, Folder, bool) {
	for _, row := range rows {
		for _, folder := range row.Folders {
			if folder.Name == name {
				return row, folder, true
			}
		}
	}
	return Architecture{}, Folder{}, false
}

// InFolder returns the row as which a model of this architecture is written to a safetensors folder.
func (a Architecture) InFolder() Architecture {
	if len(a.Folders) > 0 {
		return a
	}
	base, _ := Named(a.Base)
	return base
}

// Names lists the GGUF names for an error message.
func Names() string {
	var names []string
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return list(names)
}

// FolderNames lists the Hugging Face names for an error message.
func FolderNames() string {
	var names []string
	for _, row := range rows {
		for _, folder := range row.Folders {
			names = append(names, folder.Name)
		}
	}
	return list(names)
}

// list joins names as a sentence does: "a, b or c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
