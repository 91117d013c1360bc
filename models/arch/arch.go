// Package arch is the table of architectures that prunellm can prune. Rows has one row per architecture. Every other
// package looks properties up in the table instead of comparing names.
//
// All rows are decoders with RMS norms, rotary position embedding, grouped-query attention and gated MLPs, because
// models/llama computes only those. A row holds only what differs between architectures. Properties of a single file
// (sizes, tied embeddings, biases of a GGUF file) are in models.Config.
//
// The package imports no other package of the project, so that models, convert and the tests of both can import it.
package arch

import (
	"slices"
	"strings"
)

// RoPELayout says which pairs of elements of a head rotary position embedding rotates. The zero value is not a layout.
type RoPELayout int

const (
	// RoPEPairs rotates neighbouring elements (2i, 2i+1).
	RoPEPairs RoPELayout = iota + 1
	// RoPEHalves rotates elements (i, i+dim/2). Every safetensors folder uses it.
	RoPEHalves
)

// Places returns the position in layout l of each element of a head in the other layout. It assumes that RoPE rotates
// all elements of the head.
func (l RoPELayout) Places(headDim int) []int {
	places := make([]int, headDim)
	for i := range headDim / 2 {
		if l == RoPEHalves {
			places[2*i], places[2*i+1] = i, i+headDim/2
		} else {
			places[i], places[i+headDim/2] = 2*i, 2*i+1
		}
	}
	return places
}

// Activation is the function that an MLP applies to gate before it multiplies by up. Its value is the name in
// config.json ("hidden_act").
type Activation string

// The activations.
const (
	SiLU Activation = "silu"              // x * sigmoid(x)
	GELU Activation = "gelu_pytorch_tanh" // x * Phi(x), with the tanh approximation of Phi
)

// Architecture is one row of the table.
type Architecture struct {
	// Name is llama.cpp's name of the architecture. It is the value of general.architecture in a GGUF file and the
	// prefix of its keys.
	Name string
	// Folders lists the Hugging Face architectures that are read as this one. The exporter writes the first.
	Folders []Folder
	// Base names another row with the same graph. If Folders is empty, the exporter writes that row's folder.
	Base string
	// PerLayer names the row with the same graph that allows an MLP width per layer: this row itself or another one. It
	// is "" if llama.cpp has no such architecture; then only the uniform budget can prune. The named row may have
	// another RoPE layout, because package convert reorders q and k.
	PerLayer string
	// PerLayerFolder reports whether vLLM can run this graph with an MLP width per layer, as DeciLMForCausalLM. That
	// class has RoPE in halves, optional biases of q, k and v, and no norms of q and k.
	PerLayerFolder bool
	// RoPE is the order of the rows of q and k in GGUF files.
	RoPE RoPELayout
	// RoPEFactors reports whether the model can have frequency factors, that is, whether llama.cpp reads the tensor
	// rope_freqs.
	RoPEFactors bool
	// RoPEScaling reports whether a file can have linear RoPE scaling. It applies to the layers without a window.
	RoPEScaling bool
	// UnrotatedEvery is n if every n-th layer has no RoPE, and 0 if all layers have it.
	UnrotatedEvery int
	// AttentionBias reports whether q, k and v have biases in a folder.
	AttentionBias bool
	// OptionalBias reports whether llama.cpp adds biases of q, k and v if a GGUF file has them.
	OptionalBias bool
	// QKNorm reports whether q and k are RMS-normalized per head before RoPE.
	QKNorm bool
	// PostNorms reports whether the results of attention and of the MLP are RMS-normalized before they are added to the
	// residual stream.
	PostNorms bool
	// NormOffset reports whether a folder stores the weights of norms minus one.
	NormOffset bool
	// EmbeddingScale reports whether embeddings are multiplied by the square root of the hidden size.
	EmbeddingScale bool
	// WindowEvery is n if a file can have a sliding window, which then applies to all layers but every n-th. It is 0 if
	// the architecture has no windows.
	WindowEvery int
	// WindowRoPEBase is the RoPE base of the layers with a window.
	WindowRoPEBase float64
	// HiddenScaleLayers is the number of layers of a model whose queries are divided by the square root of hidden size /
	// heads. Those of other models are divided by the square root of the width of a head.
	HiddenScaleLayers int
	// FusedQKV reports whether a GGUF file stores q, k and v of a layer as the rows of one tensor.
	FusedQKV bool
	// TiedOnly reports whether llama.cpp always uses the embedding as the output matrix.
	TiedOnly bool
	// HiddenHeads reports whether llama.cpp requires the widths of all heads to add up to the hidden size.
	HiddenHeads bool
	// Activation is the activation of the MLPs.
	Activation Activation
	// ConfigFields are the fields that the exporter adds to the fields of config.json that all architectures share.
	ConfigFields map[string]any
	// PreTokenizer is llama.cpp's name of the pre-tokenizer that published models usually have. Random test models use
	// it; nothing else depends on it.
	PreTokenizer string
}

// Folder is a Hugging Face architecture, as config.json of a safetensors folder names it.
type Folder struct {
	Name      string // the one entry of "architectures"
	ModelType string // "model_type"
	// OptionalKVHeads reports whether config.json may omit num_key_value_heads, which then equals num_attention_heads.
	OptionalKVHeads bool
}

// Rows returns the table. The slice belongs to the caller, but the slices and maps in its rows are shared: do not
// change them.
func Rows() []Architecture { return slices.Clone(rows[:]) }

// Named returns the row with that GGUF name, or false if there is none.
func Named(name string) (Architecture, bool) {
	i := slices.IndexFunc(rows[:], func(a Architecture) bool { return a.Name == name })
	if i < 0 {
		return Architecture{}, false
	}
	return rows[i], true
}

// OfFolder returns the row and its folder with that Hugging Face name, or false if there is none.
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

// InFolder returns the row whose folder the exporter writes for a model of this architecture.
func (a Architecture) InFolder() Architecture {
	if len(a.Folders) > 0 {
		return a
	}
	base, _ := Named(a.Base)
	return base
}

// Names returns the GGUF names as a list for an error message.
func Names() string {
	var names []string
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return list(names)
}

// FolderNames returns the Hugging Face names as a list for an error message.
func FolderNames() string {
	var names []string
	for _, row := range rows {
		for _, folder := range row.Folders {
			names = append(names, folder.Name)
		}
	}
	return list(names)
}

// list joins names for a sentence: "a, b or c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
