package quality

import (
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"prunellm/infer"
	"prunellm/internal/reuse"
)

// randomDecoder returns a decoder that predicts by a table of logits with the spread of a model's.
func randomDecoder(seed uint64, vocab int) *tableDecoder {
	random := rand.New(rand.NewPCG(seed, 1))
	d := &tableDecoder{table: make([][]float32, vocab)}
	for i := range d.table {
		d.table[i] = make([]float32, vocab)
		for j := range d.table[i] {
			d.table[i][j] = float32(4*random.NormFloat64() + 20)
		}
	}
	return d
}

func keptFileIn(t testing.TB) reuse.File {
	dir := t.TempDir()
	return reuse.File{Path: filepath.Join(dir, "predictions"), Folder: dir, Identity: "a model"}
}

// A file gives exactly the same predictions as Rounded, which are close to the model's.
func TestKeptPredictions(t *testing.T) {
	dense, slim := randomDecoder(1, 200), randomDecoder(2, 200)
	windows := [][]infer.Token{{1, 2, 3, 4, 5, 6, 7}, {199, 0}, {50, 51, 52, 9, 52}}
	file := keptFileIn(t)
	if _, err := LoadKept(file, 200, windows); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadKept of nothing = %v", err)
	}
	if err := Keep(t.Context(), file, dense, windows); err != nil {
		t.Fatal(err)
	}
	kept, err := LoadKept(file, 200, windows)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	measure := func(p Predictions) []Result {
		t.Helper()
		results, err := MeasureAgainst(t.Context(), p, []infer.Decoder{nil, slim}, windows, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range results {
			results[i].Took = 0
		}
		return results
	}
	exact, rounded := measure(&decoded{Decoder: dense}), measure(Rounded(dense))
	for range 2 {
		if got := measure(kept); !slices.Equal(got, rounded) {
			t.Errorf("from the file %+v, want %+v", got, rounded)
		}
	}
	for i := range exact {
		if e, r := exact[i], rounded[i]; math.Abs(e.KLToDense-r.KLToDense) > 2e-3 || math.Abs(e.Perplexity/r.Perplexity-1) > 2e-3 ||
			e.Top1Agreement != r.Top1Agreement || e.Tokens != r.Tokens {
			t.Errorf("rounded %+v, exactly %+v", r, e)
		}
	}
	if exact[1].KLToDense < 1 {
		t.Errorf("the models are too similar for this test: %+v", exact[1])
	}
	for what, others := range map[string][][]infer.Token{"fewer windows": windows[:2], "another token": {{1, 2, 3, 4, 5, 6, 8}, {199, 0}, {50, 51, 52, 9, 52}}} {
		if _, err := LoadKept(file, 200, others); !errors.Is(err, reuse.ErrOther) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := LoadKept(file, 201, windows); !errors.Is(err, reuse.ErrOther) {
		t.Errorf("another vocabulary: %v", err)
	}
}

func TestRefusedPredictions(t *testing.T) {
	dense := randomDecoder(1, 8)
	file := keptFileIn(t)
	many := slices.Repeat([][]infer.Token{make([]infer.Token, 8)}, MaxKept>>20/(2*7)+1)
	if err := Keep(t.Context(), file, &tableDecoder{table: make([][]float32, 1<<20)}, many); !errors.Is(err, ErrTooMany) {
		t.Errorf("too many: %v", err)
	}
	for what, windows := range map[string][][]infer.Token{"a window of one token": {{1}}, "an empty window": {{}}} {
		if err := Keep(t.Context(), file, dense, windows); !errors.Is(err, ErrTooMany) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := Keep(t.Context(), file, dense, [][]infer.Token{make([]infer.Token, 9)}); err == nil {
		t.Error("a window beyond the batch was kept")
	}
	dense.table[3][1] = float32(math.NaN())
	windows := [][]infer.Token{{2, 3, 4}}
	if err := Keep(t.Context(), file, dense, windows); err != nil {
		t.Fatal(err)
	}
	kept, err := LoadKept(file, 8, windows)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if got, err := MeasureAgainst(t.Context(), kept, []infer.Decoder{randomDecoder(2, 8)}, windows, nil); err == nil {
		t.Errorf("NaN logits gave %+v", got)
	}
	if err := os.Truncate(file.Path, 60); err != nil { // while the file is open
		t.Fatal(err)
	}
	if _, err := kept.Window(0, windows[0]); err == nil {
		t.Error("a window was read from a truncated file")
	}
}

func BenchmarkHalves(b *testing.B) {
	const vocab, rows = 49152, 64
	logits := randomDecoder(1, 256).table[0]
	for len(logits) < vocab*rows {
		logits = append(logits, logits[:min(len(logits), vocab*rows-len(logits))]...)
	}
	halves := halve(nil, logits, vocab)
	b.Run("halve", func(b *testing.B) {
		b.SetBytes(4 * vocab * rows)
		for b.Loop() {
			halve(halves, logits, vocab)
		}
	})
	b.Run("expand", func(b *testing.B) {
		b.SetBytes(4 * vocab * rows)
		for b.Loop() {
			expand(logits, halves)
		}
	})
}
