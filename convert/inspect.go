package convert

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"prunellm/models"
	"prunellm/models/gguf"
)

// The limits of Inspect keep the report readable and bound its time on a hostile file.
const (
	maxInspectFaults = 100
	maxScanTime      = 12 * time.Second
)

// Fault is one fault of a file, on one line.
type Fault string

// Report describes a file as far as it could be read.
type Report struct {
	Path         string
	SizeBytes    int64
	Version      uint32 // of the GGUF format; 0 if the file is not valid GGUF
	Architecture string
	Name         string
	FileType     string
	Tensors      int
	Types        []TypeCount    // by falling number of values
	Config       *models.Config // nil if the architecture cannot be read
	Parameters   int64
	Provenance   *Provenance // nil if Slim did not write the file
	Warning      string      // why a sound file may generate worse text; "" if there is no reason
	Unprunable   error       // why a sound file cannot be pruned, only served; nil if it can be pruned
	ScannedBytes int64       // bytes of weights scanned for NaN and infinity
	WeightBytes  int64       // bytes of weights
}

// TypeCount counts the tensors of one type.
type TypeCount struct {
	Type    gguf.Type
	Tensors int
	Values  int64
	Bytes   int64
}

// Inspect reads the file at path and checks it. It checks the container, the keys and tensors against the architecture,
// the vocabulary, and every weight for NaN and infinity. The report is never nil. The scan of weights ends after
// maxScanTime; Report.ScannedBytes says how far it came. Inspect lists at most a hundred faults, and a last one that
// counts the rest.
func Inspect(ctx context.Context, path string, dequantize models.Dequantizer) (*Report, []Fault) {
	i := &inspection{report: &Report{Path: path}}
	file, err := gguf.Open(path)
	if err != nil {
		i.container(err)
		return i.report, i.list()
	}
	defer func() { _ = file.Close() }() // opened for reading
	i.describe(file)
	i.contiguous(file)
	i.model(file)
	if len(i.faults) == 0 {
		i.weights(ctx, file, dequantize, maxScanTime)
	}
	return i.report, i.list()
}

type inspection struct {
	report *Report
	faults []Fault
	more   int
}

func (i *inspection) add(format string, args ...any) {
	if len(i.faults) == maxInspectFaults {
		i.more++
		return
	}
	line := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ") // err may contain line breaks; a fault has none
	i.faults = append(i.faults, Fault(line))
}

func (i *inspection) list() []Fault {
	if i.more > 0 {
		return append(i.faults, Fault(fmt.Sprintf("and %d more faults", i.more)))
	}
	return i.faults
}

func (i *inspection) container(err error) {
	var format *gguf.FormatError
	if !errors.As(err, &format) {
		i.add("%v", err)
		return
	}
	for _, fault := range format.Faults {
		i.add("%s", fault)
	}
	i.more += format.More
}

func (i *inspection) describe(f *gguf.File) {
	r := i.report
	r.SizeBytes, r.Version, r.Tensors = f.Size, f.Version, len(f.Tensors)
	r.Architecture, _ = f.String(architectureKey)
	r.Name, _ = f.String("general.name")
	if number, err := f.Int(fileTypeKey); err == nil && number >= 0 && number <= math.MaxUint32 {
		r.FileType = FileTypeName(uint32(number))
	}
	if p, ok := ReadProvenance(f); ok {
		r.Provenance = &p
	}
	counts := map[gguf.Type]*TypeCount{}
	for _, t := range f.Tensors {
		c := counts[t.Type]
		if c == nil {
			c = &TypeCount{Type: t.Type}
			counts[t.Type] = c
		}
		c.Tensors++
		c.Values += t.Elements()
		c.Bytes += t.Size
		r.WeightBytes += t.Size
		r.Parameters += t.Elements()
	}
	for _, c := range counts {
		r.Types = append(r.Types, *c)
	}
	slices.SortFunc(r.Types, func(a, b TypeCount) int {
		if a.Values != b.Values {
			if a.Values > b.Values {
				return -1
			}
			return 1
		}
		return int(a.Type) - int(b.Type)
	})
}

// contiguous checks what llama.cpp requires beyond the format. Tensors must follow each other in the order of their
// descriptions, with no gap but the padding, and start at offsets with ggml's alignment.
func (i *inspection) contiguous(f *gguf.File) {
	var next int64
	align := int64(f.Alignment)
	for _, t := range f.Tensors {
		if t.Offset != next {
			i.add("tensor %q has offset %d instead of %d: llama.cpp loads no file with gaps or with tensors in another order", t.Name, t.Offset, next)
			return
		}
		if at := f.DataOffset + t.Offset; at%loadAlignment != 0 {
			i.add("tensor %q begins at byte %d, which must be a multiple of %d for llama.cpp to load the file", t.Name, at, loadAlignment)
			return
		}
		next += (t.Size + align - 1) / align * align
	}
}

func (i *inspection) model(f *gguf.File) {
	if i.report.Unprunable = models.UnprunableReason(f); i.report.Unprunable != nil {
		return
	}
	config, err := models.ConfigFromGGUF(f)
	if err != nil {
		i.add("%v", err)
		return
	}
	i.report.Config = &config
	i.report.Parameters = config.Parameters(nil)
	for _, fault := range models.TensorFaults(f, config) {
		i.add("%v", fault)
	}
	tokenizer, err := models.TokenizerFromGGUF(f, config.VocabSize)
	if err != nil {
		i.add("%v", err)
	}
	i.report.Warning = tokenizer.PreTokenizerFault()
	vocabulary := config.Architecture + ".vocab_size"
	if size, err := f.Int(vocabulary); err == nil && size != int64(config.VocabSize) {
		i.add("key %q is %d instead of %d, the rows of tensor %q", vocabulary, size, config.VocabSize, models.TensorName(models.TokenEmbedding, 0))
	}
	i.provenance()
}

func (i *inspection) provenance() {
	p := i.report.Provenance
	if p == nil {
		return
	}
	for _, share := range []struct {
		key   string
		value float64
	}{{"ratio", p.Ratio}, {"ratio_reached", p.RatioReached}, {"kept_mlp", 1 - p.KeptMLP}} {
		if !(share.value >= 0 && share.value < 1) {
			i.add("key %q is out of range", provenancePrefix+share.key)
		}
	}
}

// Lines formats the report as lines of "name: value". It returns nil for a file that could not be read.
func (r *Report) Lines() []string {
	if r.Version == 0 {
		return nil
	}
	lines := []string{
		fmt.Sprintf("file: %s (%d bytes, GGUF version %d)", r.Path, r.SizeBytes, r.Version),
		fmt.Sprintf("model: %q, architecture %q, file type %s", r.Name, r.Architecture, r.FileType),
		fmt.Sprintf("parameters: %d in %d tensors", r.Parameters, r.Tensors),
	}
	for _, t := range r.Types {
		lines = append(lines, fmt.Sprintf("type %s: %d tensors, %d values, %d bytes", t.Type, t.Tensors, t.Values, t.Bytes))
	}
	if c := r.Config; c != nil {
		lines = append(lines, fmt.Sprintf("shape: %d layers, hidden %d, %d heads, %d kv heads, vocabulary %d, context %d",
			c.Layers, c.HiddenSize, c.Heads, c.KVHeads, c.VocabSize, c.ContextLength), "widths: "+widthLine(*c))
	}
	if p := r.Provenance; p != nil {
		lines = append(lines,
			fmt.Sprintf("ratio: %g requested, %.4f reached, %.4f of the MLPs kept", p.Ratio, p.RatioReached, p.KeptMLP),
			"source: "+p.source(),
			fmt.Sprintf("recipe: %q, criterion %q, budget %q, reconstructed %t, made by %q", p.Recipe, p.Criterion, p.Budget, p.Reconstructed, p.Tool))
	}
	if r.Unprunable != nil {
		lines = append(lines, "pruning: "+r.Unprunable.Error())
	}
	if r.Warning != "" {
		lines = append(lines, "warning: "+r.Warning)
	}
	if r.ScannedBytes < r.WeightBytes {
		lines = append(lines, fmt.Sprintf("weights: %d of %d bytes scanned for NaN and infinity", r.ScannedBytes, r.WeightBytes))
	}
	return lines
}

func widthLine(c models.Config) string {
	if width, uniform := c.UniformWidth(); uniform {
		return fmt.Sprintf("%d in all layers", width)
	}
	parts := make([]string, len(c.FFN))
	for i, width := range c.FFN {
		parts[i] = fmt.Sprint(width)
	}
	return strings.Join(parts, " ")
}
