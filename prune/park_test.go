package prune

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/dtypes"

	"prunellm/internal/tinymodel"
	"prunellm/models/llama"
)

// manySequences returns n random sequences with the given number of different lengths.
func manySequences(n, lengths int) [][]int32 {
	random := rand.New(rand.NewPCG(5, 6))
	sequences := make([][]int32, n)
	for i := range sequences {
		sequences[i] = make([]int32, 12+10*(i%lengths))
		for j := range sequences[i] {
			sequences[i][j] = 3 + random.Int32N(200)
		}
	}
	return sequences
}

// A refit whose states do not fit into memory gives the same matrices as one whose states do, and leaves no file.
func TestRefitWithStatesOnDisk(t *testing.T) {
	refitWithStatesOnDisk(t, pureGo(t), llama.Float32, 1e-3, manySequences(24, 3), 1, 100<<10)
}

// refitWithStatesOnDisk compares refits that have only the given numbers of bytes of states in memory with one that has all
// states there. Matrices may differ by tolerance times the largest weight, because sums over other portions are rounded
// differently.
func refitWithStatesOnDisk(t *testing.T, backend backends.Backend, precision llama.Precision, tolerance float64, sequences [][]int32, memories ...int64) {
	model := tinymodel.Open(t, tinymodel.Options{Layers: 4, FFN: []int{128, 128, 128, 128}})
	plan := somePlan(t, model)
	// The first layer stays whole, so that both streams share a layer before they diverge.
	plan.Kept[0] = llama.Ascending(model.Config().FFN[0])
	refit := func(options ReconstructOptions) (down [][]float32, last Progress) {
		t.Helper()
		options.Precision = precision
		down, err := Reconstruct(t.Context(), backend, model, plan, sequences, options, func(p Progress) { last = p })
		if err != nil {
			t.Fatal(err)
		}
		return down, last
	}
	want, _ := refit(ReconstructOptions{})
	folder := t.TempDir()
	for _, memory := range memories {
		got, last := refit(ReconstructOptions{Scratch: folder, Memory: memory})
		if last.Done != last.Total || last.Total != tokensOf(sequences) {
			t.Errorf("with %d bytes the last progress is %+v", memory, last)
		}
		for layer := range want {
			far, size := 0.0, 0.0
			for i, v := range want[layer] {
				far, size = max(far, math.Abs(float64(v-got[layer][i]))), max(size, math.Abs(float64(v)))
			}
			if far > tolerance*size {
				t.Errorf("with %d bytes of states in memory layer %d is off by %g of %g", memory, layer, far, size)
			}
		}
		if again, _ := refit(ReconstructOptions{Scratch: folder, Memory: memory}); !slices.EqualFunc(got, again, slices.Equal) {
			t.Error("the same refit gives other matrices")
		}
	}
	if rest, err := os.ReadDir(folder); err != nil || len(rest) != 0 {
		t.Errorf("%v, %v are left in the folder", rest, err)
	}
	if one, _ := refit(ReconstructOptions{Scratch: "/nowhere"}); !slices.EqualFunc(want, one, slices.Equal) {
		t.Error("a refit whose states fit into memory uses the folder, or gives another result than one without a folder")
	}
}

// Errors of the file are one line, without the deleted name. The end of the context ends the refit.
func TestRefitWithStatesOnDiskFails(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), pureGo(t)
	plan, sequences := somePlan(t, model), manySequences(12, 3)
	refit := func(ctx context.Context, folder string, progress func(Progress)) error {
		_, err := Reconstruct(ctx, backend, model, plan, sequences, ReconstructOptions{Scratch: folder, Memory: 1}, progress)
		return err
	}
	if err := refit(t.Context(), "/nowhere", nil); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "\n") {
		t.Errorf("without the folder: %v, want one line with fs.ErrNotExist", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := refit(ctx, t.TempDir(), func(Progress) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v, want context.Canceled", err)
	}
	park, err := newParking(nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	park.slots[parkedAt{parkedSlim, 0}] = &slot{dtype: dtypes.Float32, dimensions: []int{1}}
	park.file.Close() // simulates a disk that fails
	err = park.take(parkedSlim, make(llama.States, 1), []int{0})
	if err == nil || strings.Contains(err.Error(), "refit-") || strings.Contains(err.Error(), "\n") {
		t.Errorf("reading a closed file gives %v, want one line without its name", err)
	}
}

// Portions have every batch once, in order, with its sequences. They are within the budget or have one batch.
func TestPortions(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	config, sequences := model.Config(), manySequences(20, 3)
	batches := batchSequences(sequences, 64)
	for budget, most := range map[int64]int{1: 1, math.MaxInt64: len(batches)} {
		portions, next := portionsOf(config, batches, sequences, budget), 0
		seen := map[int]bool{}
		for _, p := range portions {
			if len(p.batches) > most || !slices.IsSorted(p.sequences) {
				t.Errorf("budget %d: portion %+v, want at most %d batches", budget, p, most)
			}
			for _, b := range p.batches {
				if b != next {
					t.Errorf("budget %d: batch %d follows, want %d", budget, b, next)
				}
				next++
			}
			for _, i := range p.sequences {
				seen[i] = true
			}
		}
		if next != len(batches) || len(seen) != len(sequences) {
			t.Errorf("budget %d: %d of %d batches and %d of %d sequences", budget, next, len(batches), len(seen), len(sequences))
		}
	}
}
