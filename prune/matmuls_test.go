//go:build cgo

package prune

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/internal/bf16"
	"prunellm/internal/tinymodel"
	"prunellm/models/llama"
)

// TestMixedMatmuls checks that the programs with bfloat16 operands give the same results as those with float32. The operands
// are integers that both types represent exactly. Sums in the thousands exceed bfloat16's mantissa, so rounding them to it
// would fail.
func TestMixedMatmuls(t *testing.T) {
	backend := pluginBackend(t)
	m, err := llama.New(backend, tinymodel.Open(t, tinymodel.Options{}).Config())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	random := rand.New(rand.NewPCG(5, 6))
	whole := func(rows, columns int) ([]float32, *tensors.Tensor) {
		values := make([]float32, rows*columns)
		for i := range values {
			values[i] = float32(random.IntN(33) - 16)
		}
		return values, tensors.FromFlatDataAndDimensions(values, rows, columns)
	}
	narrow := func(values []float32, rows, columns int) *tensors.Tensor {
		out := make([]bfloat16.BFloat16, len(values))
		for i, x := range values {
			out[i] = bfloat16.FromBits(bf16.Bits(x))
		}
		return tensors.FromFlatDataAndDimensions(out, rows, columns)
	}
	run := func(p program, args ...any) (all [][]float64) {
		t.Helper()
		results, err := p.Exec(args...)
		if err != nil {
			t.Fatal(err)
		}
		defer llama.Release(results...)
		for _, result := range results {
			err := result.ConstFlatData(func(flat any) {
				values, _ := flat.([]float64)
				if singles, ok := flat.([]float32); ok {
					for _, x := range singles {
						values = append(values, float64(x))
					}
				}
				all = append(all, slices.Clone(values))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	const f, e = 96, 32
	for _, batches := range [][][2]int{{{1, 64}}, {{2, 40}, {3, 24}}, {{1, 7}}, {{1, 8}, {1, 7}}} { // of sequences and rows of each
		var wide, mixed []any
		for _, sums := range [][]any{{f, f}, {f, e}} {
			zeros := tensors.FromFlatDataAndDimensions(make([]float64, f*sums[1].(int)), f, sums[1].(int))
			wide, mixed = append(wide, zeros), append(mixed, zeros)
		}
		for _, of := range batches {
			rows := of[0] * of[1]
			values, h := whole(rows, f)
			_, mid := whole(rows, e)
			wide, mixed = append(wide, h, mid), append(mixed, narrow(values, rows, f), mid)
			for range of[0] {
				_, out := whole(of[1], e)
				wide, mixed = append(wide, out), append(mixed, out)
			}
		}
		values, w := whole(f, e)
		projection := map[llama.Precision]*tensors.Tensor{llama.Float32: w, llama.BFloat16: narrow(values, f, e)}
		results := map[llama.Precision][][]float64{}
		for precision, args := range map[llama.Precision][]any{llama.Float32: wide, llama.BFloat16: mixed} {
			r := &reconstructor{pruned: m, precision: precision}
			if r.mixed() != (precision == llama.BFloat16) {
				t.Fatalf("mixed is %t with precision %q", r.mixed(), precision)
			}
			gram, apply, err := r.matmuls()
			if err != nil {
				t.Fatal(err)
			}
			results[precision] = append(run(gram, args...), run(apply, args[3], args[2], projection[precision])...)
		}
		for i, want := range results[llama.Float32] {
			if got := results[llama.BFloat16][i]; !slices.Equal(got, want) || slices.Max(got) <= 256 {
				t.Errorf("batches %v: result %d is %v..., want %v...", batches, i, got[:4], want[:4])
			}
		}
	}
}

// BenchmarkMatmuls runs the refit's matmuls for 1,024 tokens, 960 neurons and 576 outputs in both precisions.
func BenchmarkMatmuls(b *testing.B) {
	m, err := llama.New(pluginBackend(b), tinymodel.Open(b, tinymodel.Options{}).Config())
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	const rows, f, e = 512, 960, 576
	zeros := func(rows, columns int) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(make([]float32, rows*columns), rows, columns)
	}
	for _, precision := range []llama.Precision{llama.Float32, llama.BFloat16} {
		r := &reconstructor{pruned: m, precision: precision}
		gram, apply, err := r.matmuls()
		if err != nil {
			b.Fatal(err)
		}
		in := func(rows, columns int) *tensors.Tensor {
			p := llama.Float32
			if r.mixed() {
				p = llama.BFloat16
			}
			x, err := m.UploadIn(p, make([]float32, rows*columns), rows, columns)
			if err != nil {
				b.Fatal(err)
			}
			return x
		}
		sums := []any{tensors.FromFlatDataAndDimensions(make([]float64, f*f), f, f), tensors.FromFlatDataAndDimensions(make([]float64, f*e), f, e)}
		for range 2 {
			sums = append(sums, in(rows, f), zeros(rows, e), zeros(rows, e))
		}
		for _, run := range []struct {
			name    string
			program program
			args    []any
		}{{"sums", gram, sums}, {"projection", apply, []any{zeros(rows, e), in(rows, f), in(f, e)}}} {
			b.Run(run.name+"/"+string(precision), func(b *testing.B) {
				for b.Loop() {
					results, err := run.program.Exec(run.args...)
					if err != nil {
						b.Fatal(err)
					}
					llama.Release(results...)
				}
			})
		}
	}
}

// A refit in mixed precision is close to one in float32, if the processor supports bfloat16 at all.
func TestReconstructInMixedPrecision(t *testing.T) {
	backend := pluginBackend(t)
	model := tinymodel.Open(t, tinymodel.Options{})
	plan := somePlan(t, model)
	down := map[llama.Precision][][]float32{}
	for _, precision := range []llama.Precision{llama.Float32, llama.BFloat16} {
		var err error
		down[precision], err = Reconstruct(t.Context(), backend, model, plan, statesSequences, ReconstructOptions{Precision: precision}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	for layer, want := range down[llama.Float32] {
		var off, all float64
		for i, x := range want {
			d := float64(down[llama.BFloat16][layer][i] - x)
			off, all = off+d*d, all+float64(x)*float64(x)
		}
		if !(off < 1e-3*all) {
			t.Errorf("layer %d: squared difference %g of %g", layer, off, all)
		}
	}
}
