package models

import (
	"fmt"
	"math"

	"prunellm/models/arch"
)

// Config describes a decoder-only language model with gated MLPs. It is read from the model's file and checked.
type Config struct {
	Architecture   string    // GGUF general.architecture, the name of a row of package arch
	Name           string    // general.name, or the file's stem
	VocabSize      int       // tokens
	HiddenSize     int       // width of the residual stream
	Layers         int       // decoder layers
	Heads          int       // query heads
	KVHeads        int       // key and value heads; divides Heads
	HeadDim        int       // width of one head
	FFN            []int     // MLP neurons of each layer; len = Layers
	ContextLength  int       // tokens the model was trained for
	RMSEpsilon     float64   // added to the mean square in RMSNorm
	RoPEBase       float64   // theta of rotary position embedding
	RoPEScale      float64   // divisor of positions in layers without a window; 0 if there is none
	RoPEDim        int       // leading elements of a head that RoPE rotates
	RoPEFactors    []float32 // float32[RoPEDim/2]: divisors of the rotation frequencies (Llama 3.1 and later); may be nil
	RoPELayout     arch.RoPELayout
	TiedEmbeddings bool // the output matrix is the token embedding
	AttentionBias  bool // q, k and v have biases
	QKNorm         bool // q and k are RMS-normalized per head before RoPE
	PostNorms      bool // the results of attention and MLP are RMS-normalized before they are added
	Window         int  // number of last tokens, itself included, that a token of a layer with a sliding window attends to; 0 if no layer has one
	FusedQKV       bool // the file stores q, k and v of a layer as the rows of one tensor
}

// Parameters returns the number of weights of the model. Tied embeddings count once. ffn is the MLP width of each
// layer, so that the same code counts a pruned variant; nil means Config.FFN.
func (c Config) Parameters(ffn []int) int64 {
	if ffn == nil {
		ffn = c.FFN
	}
	h := int64(c.HiddenSize)
	q, kv := int64(c.Heads*c.HeadDim), int64(c.KVHeads*c.HeadDim)
	total := int64(c.VocabSize)*h + h
	if !c.TiedEmbeddings {
		total += int64(c.VocabSize) * h
	}
	for _, width := range ffn {
		total += 2*h + h*(q+2*kv) + q*h + 3*h*int64(width)
		if c.AttentionBias {
			total += q + 2*kv
		}
		if c.QKNorm {
			total += 2 * int64(c.HeadDim)
		}
		if c.PostNorms {
			total += 2 * h
		}
	}
	return total
}

// MLPParameters returns the number of weights in the MLPs, the only weights that pruning can remove.
func (c Config) MLPParameters() int64 {
	var total int64
	for _, width := range c.FFN {
		total += 3 * int64(c.HiddenSize) * int64(width)
	}
	return total
}

func (c Config) row() arch.Architecture {
	row, _ := arch.Named(c.Architecture)
	return row
}

// Rotates reports whether a layer has RoPE.
func (c Config) Rotates(layer int) bool {
	n := c.row().UnrotatedEvery
	return n == 0 || (layer+1)%n != 0
}

// Windowed reports whether a layer attends to the last Window tokens alone.
func (c Config) Windowed(layer int) bool {
	return c.Window > 0 && (layer+1)%c.row().WindowEvery != 0
}

// LayerRoPEBase returns the theta of a layer's rotary position embedding.
func (c Config) LayerRoPEBase(layer int) float64 {
	if c.Windowed(layer) {
		return c.row().WindowRoPEBase
	}
	return c.RoPEBase
}

// LayerRoPEScale returns the divisor of positions in a layer's rotary position embedding.
func (c Config) LayerRoPEScale(layer int) float64 {
	if c.RoPEScale == 0 || c.Windowed(layer) {
		return 1
	}
	return c.RoPEScale
}

// QueryScale returns the factor of the dot products of queries and keys.
func (c Config) QueryScale() float64 {
	if n := c.row().HiddenScaleLayers; n > 0 && c.Layers == n {
		return 1 / math.Sqrt(float64(c.HiddenSize/c.Heads))
	}
	return 1 / math.Sqrt(float64(c.HeadDim))
}

// EmbeddingScale returns the factor of the embeddings before the first layer.
func (c Config) EmbeddingScale() float64 {
	if c.row().EmbeddingScale {
		return math.Sqrt(float64(c.HiddenSize))
	}
	return 1
}

// Activation returns the activation of the MLPs.
func (c Config) Activation() arch.Activation {
	if row := c.row(); row.Activation != "" {
		return row.Activation
	}
	return arch.SiLU
}

// PerLayer returns the architecture that can hold this model with an MLP width per layer, or false if there is none.
func (c Config) PerLayer() (arch.Architecture, bool) {
	row, ok := arch.Named(c.row().PerLayer)
	return row, ok && (c.TiedEmbeddings || !row.TiedOnly)
}

// The limits of Config.Validate bound the memory that a hostile file can claim.
const (
	MaxLayers    = 1 << 10
	MaxHidden    = 1 << 17
	MaxFFN       = 1 << 20
	MaxVocab     = 1 << 22
	MaxHeads     = 1 << 12
	MaxHeadDim   = 1 << 12
	MaxContext   = 1 << 27
	maxNameBytes = 1 << 10
)

// Validate returns an error for the first field that is out of range or inconsistent with another.
func (c Config) Validate() error {
	checks := []struct {
		name       string
		value, max int
	}{
		{"vocabulary size", c.VocabSize, MaxVocab},
		{"hidden size", c.HiddenSize, MaxHidden},
		{"layers", c.Layers, MaxLayers},
		{"heads", c.Heads, MaxHeads},
		{"kv heads", c.KVHeads, MaxHeads},
		{"head dimension", c.HeadDim, MaxHeadDim},
		{"rope dimension", c.RoPEDim, MaxHeadDim},
		{"context length", c.ContextLength, MaxContext},
	}
	for _, check := range checks {
		if check.value <= 0 || check.value > check.max {
			return fmt.Errorf("%s is %d but must be 1 to %d", check.name, check.value, check.max)
		}
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("%d heads are not a multiple of %d kv heads", c.Heads, c.KVHeads)
	case c.row().TiedOnly && !c.TiedEmbeddings:
		return fmt.Errorf("%w: architecture %q has tied embeddings, but the file has an output matrix", ErrUnsupported, c.Architecture)
	case c.row().HiddenHeads && c.Heads*c.HeadDim != c.HiddenSize:
		return fmt.Errorf("%w: %d heads of width %d for a hidden size of %d; in architecture %q the widths must add up to the hidden size",
			ErrUnsupported, c.Heads, c.HeadDim, c.HiddenSize, c.Architecture)
	case c.RoPEDim > c.HeadDim || c.RoPEDim%2 != 0:
		return fmt.Errorf("rope dimension is %d but must be an even number up to the head dimension %d", c.RoPEDim, c.HeadDim)
	case !(c.RMSEpsilon > 0 && c.RMSEpsilon < 1):
		return fmt.Errorf("rms epsilon is %g but must be above 0 and below 1", c.RMSEpsilon)
	case !(c.RoPEBase > 0 && c.RoPEBase < 1e12):
		return fmt.Errorf("rope base is %g but must be above 0 and below 1e12", c.RoPEBase)
	case len(c.FFN) != c.Layers:
		return fmt.Errorf("%d mlp widths for %d layers", len(c.FFN), c.Layers)
	case c.RoPEFactors != nil && len(c.RoPEFactors) != c.RoPEDim/2:
		return fmt.Errorf("%d rope factors instead of %d", len(c.RoPEFactors), c.RoPEDim/2)
	case c.RoPEScale != 0 && !c.row().RoPEScaling:
		return fmt.Errorf("%w: linear RoPE scaling in architecture %q", ErrUnsupported, c.Architecture)
	case c.RoPEScale != 0 && !(c.RoPEScale > 1 && c.RoPEScale < 1e6):
		return fmt.Errorf("factor of RoPE scaling is %g but must be above 1 and below 1e6", c.RoPEScale)
	case c.Window < 0 || c.Window > MaxContext:
		return fmt.Errorf("sliding window is %d but must be 0 to %d", c.Window, MaxContext)
	case c.Window > 0 && c.row().WindowEvery == 0:
		return fmt.Errorf("%w: a sliding window of %d tokens in architecture %q", ErrUnsupported, c.Window, c.Architecture)
	case c.Window > 0 && c.Layers < c.row().WindowEvery: // llama.cpp aborts the process
		return fmt.Errorf("a sliding window of %d tokens in all %d layers; every %dth layer must attend to all tokens", c.Window, c.Layers, c.row().WindowEvery)
	case len(c.Name) > maxNameBytes:
		return fmt.Errorf("name has %d bytes; the limit is %d", len(c.Name), maxNameBytes)
	}
	for layer, width := range c.FFN {
		if width <= 0 || width > MaxFFN {
			return fmt.Errorf("mlp width of layer %d is %d but must be 1 to %d", layer, width, MaxFFN)
		}
	}
	return nil
}
