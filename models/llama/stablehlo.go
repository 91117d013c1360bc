package llama

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/gomlx/go-xla/pkg/stablehlo"
	xladtypes "github.com/gomlx/go-xla/pkg/types/dtypes"
	xlashapes "github.com/gomlx/go-xla/pkg/types/shapes"
	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/tensors"
)

// stableHLOBackend is implemented by backends that accept programs in XLA's own language.
type stableHLOBackend interface {
	CompileStableHLO(program []byte) (run func(inputs []backends.Buffer) ([]backends.Buffer, error), free func(), err error)
}

// TakesStableHLO reports whether the backend supports CompileStableHLO. Only XLA on the CPU does.
func (m *Model) TakesStableHLO() bool {
	_, ok := m.backend.(stableHLOBackend)
	return ok
}

// errNoStableHLO is the error for a backend that accepts only gomlx's graphs.
var errNoStableHLO = errors.New("the backend does not support StableHLO")

// StableHLOExec is to a function on StableHLO values what graph.Exec is to a graph function. In gomlx's graphs the
// result of a matmul has the type of its factors, which would round the result of a bfloat16 matmul. A StableHLOExec
// compiles once for each set of argument shapes.
type StableHLOExec struct {
	model   *Model
	backend stableHLOBackend
	name    string
	build   func(args []*stablehlo.Value) []*stablehlo.Value

	mu       sync.Mutex
	compiled map[string]stableHLOProgram // keyed by argument shapes; guarded by mu
}

type stableHLOProgram struct {
	run  func(inputs []backends.Buffer) ([]backends.Buffer, error)
	free func()
}

// CompileStableHLO returns an executable, which Close frees. Like a graph function, build panics with an error on a
// wrong shape. CompileStableHLO returns an error if TakesStableHLO reports false.
func (m *Model) CompileStableHLO(name string, build func(args []*stablehlo.Value) []*stablehlo.Value) (*StableHLOExec, error) {
	backend, ok := m.backend.(stableHLOBackend)
	if !ok {
		return nil, fmt.Errorf("prepare %s: %w", name, errNoStableHLO)
	}
	e := &StableHLOExec{model: m, backend: backend, name: name, build: build, compiled: map[string]stableHLOProgram{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.execs = append(m.execs, e)
	return e, nil
}

// Exec runs the program on tensors, like graph.Exec. The results belong to the caller.
func (e *StableHLOExec) Exec(args ...any) (results []*tensors.Tensor, err error) {
	defer Guard(&err)
	inputs, all := make([]backends.Buffer, len(args)), make([]*tensors.Tensor, len(args))
	for i, arg := range args {
		t, ok := arg.(*tensors.Tensor)
		if !ok {
			return nil, fmt.Errorf("run %s: argument %d is a %T but must be a tensor", e.name, i, arg)
		}
		if inputs[i], err = t.Buffer(e.model.backend, 0); err != nil {
			return nil, fmt.Errorf("run %s: argument %d: %w", e.name, i, err)
		}
		all[i] = t
	}
	program, err := e.programFor(all)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", e.name, err)
	}
	outputs, err := program.run(inputs)
	runtime.KeepAlive(all)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", e.name, err)
	}
	for _, output := range outputs {
		t, err := tensors.FromBuffer(e.model.backend, output)
		if err != nil {
			release(results...)
			return nil, fmt.Errorf("run %s: %w", e.name, err)
		}
		results = append(results, t)
	}
	return results, nil
}

// programFor returns the program for arguments of these shapes.
func (e *StableHLOExec) programFor(args []*tensors.Tensor) (stableHLOProgram, error) {
	var shapes strings.Builder
	for _, arg := range args {
		shapes.WriteString(arg.Shape().String())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if program, ok := e.compiled[shapes.String()]; ok {
		return program, nil
	}
	text, err := e.write(args)
	if err != nil {
		return stableHLOProgram{}, err
	}
	run, free, err := e.backend.CompileStableHLO(text)
	if err != nil {
		return stableHLOProgram{}, err
	}
	program := stableHLOProgram{run: run, free: free}
	e.compiled[shapes.String()] = program
	return program, nil
}

// write returns the text of the program for arguments of these shapes.
func (e *StableHLOExec) write(args []*tensors.Tensor) ([]byte, error) {
	builder := stablehlo.New(stablehlo.ConvertToValidName(e.name))
	main := builder.Main()
	values := make([]*stablehlo.Value, len(args))
	for i, arg := range args {
		// gomlx and go-xla number types alike.
		shape := xlashapes.Make(xladtypes.DType(arg.DType()), arg.Shape().Dimensions...)
		var err error
		if values[i], err = main.Input(shape); err != nil {
			return nil, err
		}
	}
	if err := main.Return(e.build(values)...); err != nil {
		return nil, err
	}
	return builder.Build()
}

// Finalize frees the compiled programs. None may be running.
func (e *StableHLOExec) Finalize() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, program := range e.compiled {
		program.free()
	}
	clear(e.compiled)
}
