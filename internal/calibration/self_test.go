package calibration

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type fakeGenerator struct {
	n, length int
	out       [][]int32
	err       error
}

func (g *fakeGenerator) generate(_ context.Context, n, length int, _ uint64) ([][]int32, error) {
	g.n, g.length = n, length
	return g.out, g.err
}

func TestGenerated(t *testing.T) {
	generator := &fakeGenerator{out: [][]int32{{1, 2, 3, 4, 5}, {1}, {6, 7}}}
	got, err := generated(t.Context(), generator, Want{Tokens: 10, Length: 4, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if generator.n != 3 || generator.length != 4 {
		t.Errorf("generate(%d, %d), want 3 sequences of 4", generator.n, generator.length)
	}
	if diff := cmp.Diff([][]int32{{1, 2, 3, 4}, {6, 7}}, got); diff != "" {
		t.Errorf("sequences (-want +got):\n%s", diff)
	}
	failure := errors.New("engine gone")
	for name, test := range map[string]struct {
		generator      *fakeGenerator
		tokens, length int
		want           error
	}{
		"engine":  {&fakeGenerator{err: failure}, 10, 4, failure},
		"nothing": {&fakeGenerator{}, 10, 4, nil},
		"short":   {&fakeGenerator{}, 10, 1, nil},
		"long":    {&fakeGenerator{}, 10, MaxSequence + 1, nil},
	} {
		if _, err := generated(t.Context(), test.generator, Want{Tokens: test.tokens, Length: test.length, Seed: 1}); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

func TestSideBySide(t *testing.T) {
	for all, want := range map[int]int{1: 1, 18: 18, 36: 36, 48: 48, 49: 25, 108: 36, 145: 37} {
		if got := sideBySide(all); got != want {
			t.Errorf("%d sequences are written %d at a time, want %d", all, got, want)
		}
	}
}
