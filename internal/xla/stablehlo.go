package xla

import (
	"fmt"

	"github.com/gomlx/go-xla/pkg/pjrt"
	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/shapes"
)

// CompileStableHLO compiles a program in StableHLO, XLA's input language, for operations that gomlx's graphs lack. run takes and
// returns buffers of this backend with the shapes in the program. free releases the program.
func (b cpuBackend) CompileStableHLO(program []byte) (run func(inputs []backends.Buffer) ([]backends.Buffer, error), free func(), err error) {
	client, err := b.client()
	if err != nil {
		return nil, nil, err
	}
	compiled, err := client.Compile().WithStableHLO(program).Done()
	if err != nil {
		return nil, nil, fmt.Errorf("compile stablehlo: %w", err)
	}
	run = func(inputs []backends.Buffer) ([]backends.Buffer, error) {
		args := make([]*pjrt.Buffer, len(inputs))
		for i, input := range inputs {
			var ok bool
			if args[i], ok = input.(*pjrt.Buffer); !ok {
				return nil, fmt.Errorf("run stablehlo: argument %d is a %T, not a buffer of this backend", i, input)
			}
		}
		results, err := compiled.Execute(args...).DonateNone().Done()
		if err != nil {
			return nil, fmt.Errorf("run stablehlo: %w", err)
		}
		outputs := make([]backends.Buffer, len(results))
		for i, result := range results {
			outputs[i] = result
		}
		return outputs, nil
	}
	return run, func() { _ = compiled.Destroy() }, nil
}

// client is the plugin's client. gomlx does not export it, but every buffer refers to it.
func (b cpuBackend) client() (*pjrt.Client, error) {
	buffer, err := b.BufferFromFlatData(0, []int32{0}, shapes.Make(dtypes.Int32, 1))
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.BufferFinalize(buffer) }()
	own, ok := buffer.(*pjrt.Buffer)
	if !ok {
		return nil, fmt.Errorf("compile stablehlo: a gomlx buffer is an unsupported %T", buffer)
	}
	return own.Client(), nil
}
