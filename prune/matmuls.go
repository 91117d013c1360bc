package prune

import (
	"github.com/gomlx/go-xla/pkg/stablehlo"
	xladtypes "github.com/gomlx/go-xla/pkg/types/dtypes"
	xlashapes "github.com/gomlx/go-xla/pkg/types/shapes"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// This file has the matmuls of a refit: the Gram matrices of activations, and the refitted projection. Each has two versions: a
// gomlx graph with float32 operands, and StableHLO with bfloat16 operands and float32 results, which gomlx cannot express. The
// error of sums rounded to bfloat16 would exceed the ridge.

// program runs with tensors as arguments.
type program interface {
	Exec(args ...any) ([]*tensors.Tensor, error)
}

// mixed reports whether the activations and the refitted projection are multiplied in bfloat16.
func (r *reconstructor) mixed() bool {
	return r.precision == llama.BFloat16 && r.pruned.TakesStableHLO()
}

// matmuls compiles the programs gram and apply.
func (r *reconstructor) matmuls() (gram, apply program, err error) {
	if r.mixed() {
		if gram, err = r.pruned.CompileStableHLO("gram", mixedSums); err == nil {
			apply, err = r.pruned.CompileStableHLO("apply", mixedApply)
		}
		return gram, apply, err
	}
	gram, err = r.pruned.Compile("gram", func(args []*Node) []*Node {
		gram, cross := args[0], args[1]
		var all, targets []*Node
		eachBatch(args[2:], func(x *Node) int { return x.Shape().Dim(0) }, func(h, mid *Node, outs []*Node) {
			all = append(all, h)
			targets = append(targets, Sub(Concatenate(outs, 0), mid))
		})
		h, target := Concatenate(all, 0), Concatenate(targets, 0)
		if r.budget.Doubles {
			h, target = ConvertDType(h, dtypes.Float64), ConvertDType(target, dtypes.Float64)
		}
		gram = Add(gram, ConvertDType(Einsum("tf,tg->fg", h, h), dtypes.Float64))
		return []*Node{gram, Add(cross, ConvertDType(Einsum("tf,te->fe", h, target), dtypes.Float64))}
	})
	if err != nil {
		return nil, nil, err
	}
	apply, err = r.pruned.Compile("apply", func(args []*Node) []*Node {
		return []*Node{Add(args[0], Einsum("tf,fe->te", args[1], args[2]))}
	})
	return gram, apply, err
}

// eachBatch splits the arguments of gram into h, mid and the dense model's states of each batch.
func eachBatch[T any](args []T, rows func(T) int, batch func(h, mid T, outs []T)) {
	for len(args) > 0 {
		h, mid, outs := args[0], args[1], args[2:]
		sequences := 1
		for rows(outs[0])*sequences < rows(h) {
			sequences++
		}
		batch(h, mid, outs[:sequences])
		args = outs[sequences:]
	}
}

// must panics with an error, as gomlx's graph functions do. An entry point converts it to a returned error.
func must(v *stablehlo.Value, err error) *stablehlo.Value {
	if err != nil {
		panic(err)
	}
	return v
}

// mixedSums is gram with h bfloat16[s*t, f].
func mixedSums(args []*stablehlo.Value) []*stablehlo.Value {
	var all, targets []*stablehlo.Value
	eachBatch(args[2:], func(x *stablehlo.Value) int { return x.Shape().Dim(0) }, func(h, mid *stablehlo.Value, outs []*stablehlo.Value) {
		all = append(all, h)
		targets = append(targets, must(stablehlo.Subtract(must(stablehlo.Concatenate(0, outs...)), mid)))
	})
	h := must(stablehlo.Concatenate(0, all...))
	target := must(stablehlo.Convert(must(stablehlo.Concatenate(0, targets...)), xladtypes.BFloat16))
	columns := transposed(h)
	add := func(sum, right *stablehlo.Value) *stablehlo.Value {
		return must(stablehlo.Add(sum, must(stablehlo.Convert(mixedMatmul(columns, right), xladtypes.Float64))))
	}
	return []*stablehlo.Value{add(args[0], h), add(args[1], target)}
}

// mixedApply is apply with h bfloat16[s*t, f] and W bfloat16[f, e].
func mixedApply(args []*stablehlo.Value) []*stablehlo.Value {
	return []*stablehlo.Value{must(stablehlo.Add(args[0], mixedMatmul(args[1], args[2])))}
}

// mixedMatmul returns a b, float32[n, m], of bfloat16[n, k] and bfloat16[k, m].
func mixedMatmul(a, b *stablehlo.Value) *stablehlo.Value {
	return must(stablehlo.DotGeneral(a, []int{1}, nil, b, []int{0}, nil).OutputDType(xladtypes.Float32).Done())
}

// transposed transposes h[t, f] to [f, t] with a third axis. XLA would merge a plain transpose into the matmul, which would
// then take twice as long (see llama's narrowTranspose).
func transposed(h *stablehlo.Value) *stablehlo.Value {
	t, f, dtype := h.Shape().Dim(0), h.Shape().Dim(1), h.Shape().DType
	if t%2 != 0 {
		return must(stablehlo.Transpose(h, 1, 0))
	}
	pairs := must(stablehlo.Reshape(h, xlashapes.Make(dtype, t/2, 2, f)))
	return must(stablehlo.Reshape(must(stablehlo.Transpose(pairs, 2, 0, 1)), xlashapes.Make(dtype, f, t)))
}
