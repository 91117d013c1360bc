package llama

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
)

// Model runs programs for one architecture on one backend. It holds compiled programs and RoPE tables, but no weights.
// Its owner must call Close.
type Model struct {
	backend backends.Backend
	config  models.Config
	embed   *graph.Exec

	mu    sync.Mutex
	ropes map[ropeKey][]*tensors.Tensor // the fields of RoPE; guarded by mu
	execs []interface{ Finalize() }     // for Close; guarded by mu
}

// New returns a Model for an architecture on a backend.
func New(backend backends.Backend, config models.Config) (m *Model, err error) {
	defer Guard(&err)
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("llama graph: %w", err)
	}
	m = &Model{backend: backend, config: config, ropes: map[ropeKey][]*tensors.Tensor{}}
	m.embed, err = m.Compile("embed", func(args []*graph.Node) []*graph.Node {
		x := graph.Gather(args[0], args[1])
		if scale := config.EmbeddingScale(); scale != 1 {
			x = graph.MulScalar(x, scale)
		}
		return []*graph.Node{x}
	})
	return m, err
}

// Config returns the architecture.
func (m *Model) Config() models.Config { return m.config }

// Backend returns the backend on which programs run.
func (m *Model) Backend() backends.Backend { return m.backend }

// Close frees the compiled programs and tables. It is idempotent. No program may be running.
func (m *Model) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, exec := range m.execs {
		exec.Finalize()
	}
	m.execs = nil
	for _, tables := range m.ropes {
		release(tables...)
	}
	m.ropes = map[ropeKey][]*tensors.Tensor{}
}

// Compile returns an executable for a graph function. The executable compiles once for each set of argument shapes.
// Close frees it.
func (m *Model) Compile(name string, build func(args []*graph.Node) []*graph.Node) (*graph.Exec, error) {
	exec, err := graph.NewExec(m.backend, build)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", name, err)
	}
	exec.WithName(name).SetMaxCache(-1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.execs = append(m.execs, exec)
	return exec, nil
}

// Upload copies float32 values to the device.
func (m *Model) Upload(values []float32, dimensions ...int) (*tensors.Tensor, error) {
	return upload(m.backend, values, dtypes.Float32, dimensions...)
}

// UploadIn is like Upload, but rounds to a precision.
func (m *Model) UploadIn(p Precision, values []float32, dimensions ...int) (*tensors.Tensor, error) {
	if p == BFloat16 {
		return upload(m.backend, roundNarrow(values), dtypes.BFloat16, dimensions...)
	}
	return m.Upload(values, dimensions...)
}

// UploadNarrow copies bfloat16 values to the device.
func (m *Model) UploadNarrow(values []bfloat16.BFloat16, dimensions ...int) (*tensors.Tensor, error) {
	return upload(m.backend, values, dtypes.BFloat16, dimensions...)
}

// UploadDoubles copies float64 values to the device.
func (m *Model) UploadDoubles(values []float64, dimensions ...int) (*tensors.Tensor, error) {
	return upload(m.backend, values, dtypes.Float64, dimensions...)
}

// UploadTokens copies token ids to the device, int32[dimensions...].
func (m *Model) UploadTokens(values []int32, dimensions ...int) (*tensors.Tensor, error) {
	return upload(m.backend, values, dtypes.Int32, dimensions...)
}

func upload[T float32 | float64 | int32 | bfloat16.BFloat16](backend backends.Backend, values []T, dtype dtypes.DType,
	dimensions ...int) (t *tensors.Tensor, err error) {
	defer Guard(&err)
	shape := shapes.Make(dtype, dimensions...)
	if shape.Size() != len(values) {
		return nil, fmt.Errorf("upload %v: %d values", dimensions, len(values))
	}
	buffer, err := backend.BufferFromFlatData(0, values, shape)
	if err != nil {
		return nil, fmt.Errorf("upload %v: %w", dimensions, err)
	}
	return tensors.FromBuffer(backend, buffer)
}

// Download copies a tensor's values to the host.
func Download[T float32 | float64 | int32](t *tensors.Tensor) (values []T, err error) {
	defer Guard(&err)
	err = t.ConstFlatData(func(flat any) {
		values = append([]T(nil), flat.([]T)...)
	})
	return values, err
}

// Release frees tensors immediately instead of leaving them to the garbage collector. It ignores nil.
func Release(all ...*tensors.Tensor) { release(all...) }

func release(all ...*tensors.Tensor) {
	for _, t := range all {
		if t != nil {
			_ = t.FinalizeAll()
		}
	}
}

// Guard turns a panic of gomlx into an error. Call it with defer.
func Guard(err *error) {
	switch cause := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("gomlx: %w", cause)
	default:
		*err = fmt.Errorf("gomlx: %v", cause)
	}
}

// ropeKey identifies a RoPE table.
type ropeKey struct {
	tokens   int  // padded length
	rotates  bool // false for the table of a layer without RoPE
	windowed bool // for a layer with a window
}

// rope returns the fields of a layer's RoPE for a number of tokens. It caches them for later programs.
func (m *Model) rope(tokens, layer int) ([]*tensors.Tensor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := ropeKey{tokens, m.config.Rotates(layer), m.config.Windowed(layer)}
	if tables, ok := m.ropes[key]; ok {
		return tables, nil
	}
	cos, sin := ropeTables(m.config, m.config.LayerRoPEBase(layer), m.config.LayerRoPEScale(layer), tokens)
	if !key.rotates {
		cos, sin = unrotated(len(cos))
	}
	var tables []*tensors.Tensor
	for _, values := range [][]float32{cos, sin} {
		t, err := m.Upload(values, tokens, m.config.RoPEDim/2)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	if m.config.Window > 0 {
		window := int32(math.MaxInt32)
		if key.windowed {
			window = int32(m.config.Window) //nolint:gosec // at most MaxContext
		}
		t, err := m.UploadTokens([]int32{window})
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	m.ropes[key] = tables
	return tables, nil
}

// LayerProgram is a graph function over one layer's weights, compiled once for each set of argument shapes.
type LayerProgram struct {
	model *Model
	name  string
	exec  *graph.Exec
}

// LayerProgram returns a program for a graph function. The program's first argument must be float32[t, e]; it
// determines the length of the RoPE table.
func (m *Model) LayerProgram(name string, build func(b *Block, rope RoPE, args []*graph.Node) []*graph.Node) (
	*LayerProgram, error) {
	weights := len(blockFields(m.config))
	exec, err := m.Compile(name, func(nodes []*graph.Node) []*graph.Node {
		b := blockFromNodes(m.config, nodes[:weights])
		rope, args := RoPE{Cos: nodes[weights], Sin: nodes[weights+1]}, nodes[weights+2:]
		if m.config.Window > 0 {
			rope.Window, args = args[0], args[1:]
		}
		return build(b, rope, args)
	})
	if err != nil {
		return nil, err
	}
	return &LayerProgram{model: m, name: name, exec: exec}, nil
}

// Run runs the program. The rows of the first argument are one sequence. The results belong to the caller.
func (p *LayerProgram) Run(layer *Layer, args ...*tensors.Tensor) (results []*tensors.Tensor, err error) {
	return p.RunTogether(1, layer, args...)
}

// RunTogether is like Run for several sequences of equal length. The rows of the first argument are the sequences, one
// after the other.
func (p *LayerProgram) RunTogether(sequences int, layer *Layer, args ...*tensors.Tensor) (results []*tensors.Tensor, err error) {
	defer Guard(&err)
	tables, err := p.model.rope(args[0].Shape().Dim(0)/sequences, layer.Index)
	if err != nil {
		return nil, err
	}
	all := make([]any, 0, len(layer.args)+len(tables)+len(args))
	for _, group := range [][]*tensors.Tensor{layer.args, tables, args} {
		for _, t := range group {
			all = append(all, t)
		}
	}
	results, err = p.exec.Exec(all...)
	if err != nil {
		return nil, fmt.Errorf("run %s on layer %d: %w", p.name, layer.Index, err)
	}
	return results, nil
}

// Head holds the embedding matrix, the output matrix and the last norm on the device. Its owner must call Release.
type Head struct{ embedding, norm, output *tensors.Tensor }

// LoadHead uploads the weights outside the layers. It uploads the output matrix in precision p.
func (m *Model) LoadHead(w models.Weights, p Precision) (head *Head, err error) {
	defer Guard(&err)
	c := m.config
	head = &Head{}
	load := func(role models.Role, p Precision, dimensions ...int) (t *tensors.Tensor, values []float32, err error) {
		if values, err = readTensor(w, role, 0, dimensions); err == nil {
			t, err = m.UploadIn(p, values, dimensions...)
		}
		return t, values, err
	}
	var embedding []float32
	if head.embedding, embedding, err = load(models.TokenEmbedding, Float32, c.VocabSize, c.HiddenSize); err == nil {
		head.norm, _, err = load(models.OutputNorm, Float32, c.HiddenSize)
	}
	switch {
	case err != nil:
	case !c.TiedEmbeddings:
		head.output, _, err = load(models.Output, p, c.VocabSize, c.HiddenSize)
	case p == BFloat16:
		head.output, err = m.UploadIn(p, embedding, c.VocabSize, c.HiddenSize)
	default:
		head.output = head.embedding
	}
	if err != nil {
		head.Release()
		return nil, fmt.Errorf("load head: %w", err)
	}
	return head, nil
}

// Release frees the device memory. It is idempotent.
func (h *Head) Release() {
	if h.output != h.embedding {
		release(h.output)
	}
	release(h.embedding, h.norm)
	*h = Head{}
}

// ErrTokens is wrapped by the errors of CheckTokens.
var ErrTokens = errors.New("bad token sequence")

// Embed returns the padded embeddings of a sequence: float32[PadLength(len(tokens)), e].
func (m *Model) Embed(h *Head, tokens []int32) (x *tensors.Tensor, err error) {
	defer Guard(&err)
	if err := CheckTokens(m.config, tokens); err != nil {
		return nil, err
	}
	padded := make([]int32, PadLength(len(tokens)))
	copy(padded, tokens)
	ids, err := m.UploadTokens(padded, len(padded), 1)
	if err != nil {
		return nil, err
	}
	defer release(ids)
	return m.embed.Exec1(h.embedding, ids)
}

// CheckTokens returns an error if a sequence is empty, is longer than the model's context, or has a token outside the
// vocabulary.
func CheckTokens(c models.Config, tokens []int32) error {
	if len(tokens) == 0 || len(tokens) > c.ContextLength {
		return fmt.Errorf("%w: %d tokens; there must be 1 to %d", ErrTokens, len(tokens), c.ContextLength)
	}
	for i, token := range tokens {
		if token < 0 || int(token) >= c.VocabSize {
			return fmt.Errorf("%w: token %d at position %d is outside the vocabulary of %d", ErrTokens, token, i,
				c.VocabSize)
		}
	}
	return nil
}

// PadLength returns the padded length of a sequence. There are at most four padded lengths between two powers of two.
// Few shapes must then be compiled, and padding stays below a quarter.
func PadLength(tokens int) int {
	step := 8
	for step*8 < tokens {
		step *= 2
	}
	return roundUp(tokens, step)
}

// HeadProgram is a graph function over the head's weights, compiled once for each set of argument shapes.
type HeadProgram struct {
	name string
	exec *graph.Exec
}

// HeadProgram returns a program for a graph function.
func (m *Model) HeadProgram(name string, build func(h *HeadBlock, args []*graph.Node) []*graph.Node) (*HeadProgram, error) {
	exec, err := m.Compile(name, func(nodes []*graph.Node) []*graph.Node {
		return build(&HeadBlock{Norm: nodes[0], Output: nodes[1]}, nodes[2:])
	})
	if err != nil {
		return nil, err
	}
	return &HeadProgram{name: name, exec: exec}, nil
}

// Run runs the program. The results belong to the caller.
func (p *HeadProgram) Run(h *Head, args ...*tensors.Tensor) (results []*tensors.Tensor, err error) {
	defer Guard(&err)
	all := []any{h.norm, h.output}
	for _, t := range args {
		all = append(all, t)
	}
	results, err = p.exec.Exec(all...)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", p.name, err)
	}
	return results, nil
}
