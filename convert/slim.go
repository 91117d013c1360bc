package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"

	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// WidthMultiple is the number that every reduced MLP width must be a multiple of. It is the block size of the quantized
// types.
const WidthMultiple = 32

// Options say what Slim writes into the file.
type Options struct {
	Kept     [][]int                            // neurons to keep in each layer, ascending; nil keeps all, also for a single layer
	Down     [][]float32                        // refitted down of each layer, float32[hidden, width]; nil takes the source's, also for a single layer
	LoadDown func(layer int) ([]float32, error) // if set, replaces Down: Slim calls it when it writes a layer, and nil takes the source's
	// Weights replace the values of tensors, and take precedence over Down: float32[shape...] in the slim shape.
	Weights    map[models.Slot][]float32
	FileType   FileType // "" is Keep
	Provenance Provenance
	Codec      Codec
	Progress   func(doneBytes, totalBytes int64) // called after every tensor; may be nil
}

// Result describes the file that Slim wrote.
type Result struct {
	Config     models.Config // of the slim model
	Provenance Provenance    // as written
	SizeBytes  int64
	Digest     string // SHA-256 of the file in hexadecimal
}

// Slim writes the source model with only the kept neurons to path. The same source and options give the same bytes. If
// widths differ between layers, Slim writes the architecture that the source's row of package arch names in PerLayer.
// If there is none, Slim returns an error that wraps models.ErrUnsupported.
func Slim(ctx context.Context, source *models.GGUF, path string, options Options) (Result, error) {
	s, err := newSlimmer(source, options)
	if err != nil {
		return Result{}, fmt.Errorf("slim %q: %w", source.Path(), err)
	}
	if err := RefuseSameFile(source.Path(), path); err != nil {
		return Result{}, err
	}
	digest := sha256.New()
	size := counter{}
	if err := gguf.Write(ctx, path, s.keys(), s.sources(), digest, &size); err != nil {
		return Result{}, err
	}
	return Result{
		Config: s.config, Provenance: s.options.Provenance, SizeBytes: size.bytes, Digest: hex.EncodeToString(digest.Sum(nil)),
	}, nil
}

// RefuseSameFile returns an error if target is the same file as source.
func RefuseSameFile(source, target string) error {
	a, errA := os.Stat(source)
	b, errB := os.Stat(target)
	if errA == nil && errB == nil && os.SameFile(a, b) {
		return fmt.Errorf("output %q is the model itself; name another file", target)
	}
	return nil
}

// TakesWidths reports whether Slim can give each layer of this model its own MLP width.
func TakesWidths(config models.Config) bool {
	_, ok := config.PerLayer()
	return ok
}

type counter struct{ bytes int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += int64(len(b))
	return len(b), nil
}

// slimmer is the state of one call of Slim. newSlimmer fills it in; writing changes nothing.
type slimmer struct {
	source  *models.GGUF
	file    *gguf.File // of source
	dense   models.Config
	config  models.Config // of the slim model
	options Options
}

func newSlimmer(source *models.GGUF, options Options) (*slimmer, error) {
	s := &slimmer{source: source, file: source.File(), dense: source.Config(), config: source.Config(), options: options}
	var err error
	if s.options.FileType, err = ParseFileType(string(options.FileType)); err != nil {
		return nil, err
	}
	if s.config.FFN, err = keptWidths(s.dense, options.Kept); err != nil {
		return nil, err
	}
	if err := checkDown(s.config, options.Down); err != nil {
		return nil, err
	}
	for slot, values := range options.Weights {
		if want := elements(s.config.TensorShape(slot.Role, slot.Layer)); len(values) != want {
			return nil, fmt.Errorf("trained %s has %d values instead of %d", slot.Name(), len(values), want)
		}
	}
	if _, uniform := s.config.UniformWidth(); !uniform {
		row, ok := s.dense.PerLayer()
		if !ok {
			return nil, fmt.Errorf("%w: architecture %q%s has one width for all layers; use the uniform budget", models.ErrUnsupported,
				s.dense.Architecture, untied(s.dense))
		}
		s.become(row)
	}
	p := &s.options.Provenance
	p.RatioReached = 1 - float64(s.config.Parameters(nil))/float64(s.dense.Parameters(nil))
	p.KeptMLP = float64(s.config.MLPParameters()) / float64(s.dense.MLPParameters())
	if p.Architecture = ""; s.config.Architecture != s.dense.Architecture {
		p.Architecture = s.dense.Architecture
	}
	if before, ok := ReadProvenance(s.file); ok && before.Architecture != "" {
		p.Architecture = before.Architecture // the source is a slim file itself
	}
	p.Reconstructed = options.LoadDown != nil || slices.ContainsFunc(options.Down, func(d []float32) bool { return d != nil })
	return s, nil
}

// become gives the slim model another architecture, which must have the same graph.
func (s *slimmer) become(row arch.Architecture) {
	s.config.Architecture, s.config.RoPELayout, s.config.FusedQKV = row.Name, row.RoPE, row.FusedQKV
}

// untied describes the output matrix for an error if the architecture that PerLayer names cannot hold it; otherwise it
// returns "".
func untied(config models.Config) string {
	if row, _ := arch.Named(config.Architecture); row.PerLayer == "" || config.TiedEmbeddings {
		return ""
	}
	return " with an output matrix of its own"
}

// keptWidths checks the kept neurons and returns their number in each layer.
func keptWidths(config models.Config, kept [][]int) ([]int, error) {
	widths := slices.Clone(config.FFN)
	if kept == nil {
		return widths, nil
	}
	if len(kept) != config.Layers {
		return nil, fmt.Errorf("kept neurons for %d layers, but the model has %d", len(kept), config.Layers)
	}
	for layer, neurons := range kept {
		if neurons == nil {
			continue
		}
		width := len(neurons)
		if width == 0 || (width != config.FFN[layer] && width%WidthMultiple != 0) {
			return nil, fmt.Errorf("layer %d: width is %d but must be a positive multiple of %d", layer, width, WidthMultiple)
		}
		for i, neuron := range neurons {
			if neuron < 0 || neuron >= config.FFN[layer] || (i > 0 && neuron <= neurons[i-1]) {
				return nil, fmt.Errorf("layer %d: kept neuron %d at index %d; neurons must be ascending and below %d", layer, neuron, i, config.FFN[layer])
			}
		}
		widths[layer] = width
	}
	return widths, nil
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func checkDown(config models.Config, down [][]float32) error {
	if down == nil {
		return nil
	}
	if len(down) != config.Layers {
		return fmt.Errorf("refitted down for %d layers, but the model has %d", len(down), config.Layers)
	}
	for layer, values := range down {
		if want := config.HiddenSize * config.FFN[layer]; values != nil && len(values) != want {
			return fmt.Errorf("layer %d: refitted down has %d values instead of %d x %d", layer, len(values), config.HiddenSize, config.FFN[layer])
		}
	}
	return nil
}
