//go:build cgo

package llama

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/gomlx/go-xla/pkg/stablehlo"
	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/internal/xla"
	"prunellm/internal/xla/xlatest"
)

// graphsOnly is a backend that accepts only gomlx's graphs.
type graphsOnly struct{ backends.Backend }

func TestStableHLO(t *testing.T) {
	backend, err := xla.Open(slog.Default(), xlatest.Options(os.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	m, err := New(backend, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if !m.TakesStableHLO() {
		t.Skip("backend without stablehlo")
	}
	sum, err := m.CompileStableHLO("sum of two", func(args []*stablehlo.Value) []*stablehlo.Value {
		s, err := stablehlo.Add(args[0], args[1])
		if err != nil {
			panic(err)
		}
		return []*stablehlo.Value{s, s}
	})
	if err != nil {
		t.Fatal(err)
	}
	vector := func(values ...float32) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(values, len(values)) }
	for _, n := range []int{2, 3, 2} {
		a := vector(1, 2, 3)
		if n == 2 {
			a = vector(1, 2)
		}
		for range 2 {
			results, err := sum.Exec(a, a)
			if err != nil {
				t.Fatal(err)
			}
			if len(results) != 2 || results[1].Shape().Dim(0) != n {
				t.Fatalf("%d results, the first %s", len(results), results[0].Shape())
			}
			got, err := Download[float32](results[1])
			if err != nil || got[n-1] != float32(2*n) {
				t.Errorf("%v, %v", got, err)
			}
			Release(results...)
		}
	}
	if len(sum.compiled) != 2 {
		t.Errorf("%d programs for two sets of shapes", len(sum.compiled))
	}
	for what, args := range map[string][]any{
		"shapes":   {vector(1), vector(1, 2)},
		"argument": {vector(1), 2},
		"type":     {vector(1), tensors.FromFlatDataAndDimensions([]int32{1}, 1)},
	} {
		if _, err := sum.Exec(args...); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("wrong %s: error is %v", what, err)
		}
	}

	other, err := New(graphsOnly{backend}, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.CompileStableHLO("sum", nil); !errors.Is(err, errNoStableHLO) || other.TakesStableHLO() {
		t.Errorf("error is %v", err)
	}
}
