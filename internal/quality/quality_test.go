package quality

import (
	"math"
	"testing"

	"prunellm/infer"
)

// tableDecoder predicts the next token from the last one by a fixed table of logits.
type tableDecoder struct {
	infer.Decoder
	table [][]float32 // by the last token
	seen  []infer.Token
}

func (d *tableDecoder) VocabSize() int                     { return len(d.table) }
func (d *tableDecoder) BatchSize() int                     { return 8 }
func (d *tableDecoder) ContextSize() int                   { return 8 }
func (d *tableDecoder) SequenceRemove(int, int, int) error { d.seen = nil; return nil }
func (d *tableDecoder) Decode(entries []infer.Entry) error {
	for _, e := range entries {
		d.seen = append(d.seen, e.Token)
	}
	return nil
}
func (d *tableDecoder) Logits(i int) []float32 { return d.table[d.seen[i]] }

func logits(probabilities ...float64) []float32 {
	out := make([]float32, len(probabilities))
	for i, p := range probabilities {
		out[i] = float32(math.Log(p)) + 3 // a shift changes nothing
	}
	return out
}

func TestMeasure(t *testing.T) {
	dense := &tableDecoder{table: [][]float32{logits(0.5, 0.25, 0.25), logits(0.2, 0.7, 0.1), logits(0.1, 0.1, 0.8)}}
	slim := &tableDecoder{table: [][]float32{logits(0.25, 0.5, 0.25), logits(0.2, 0.7, 0.1), logits(0.1, 0.1, 0.8)}}
	windows, err := Windows([]infer.Token{0, 1, 2, 1, 0, 0, 2}, 3, 0)
	if err != nil || len(windows) != 2 {
		t.Fatalf("Windows = %v, %v, want two of three tokens", windows, err)
	}
	calls := 0
	results, err := Measure(t.Context(), dense, []infer.Decoder{dense, slim}, windows, func(int) { calls++ })
	if err != nil || calls != 2 {
		t.Fatalf("Measure: %v after %d windows", err, calls)
	}
	// The predictions that count are 0>1 and 1>2, then 1>0 and 0>0.
	want := math.Exp(-(math.Log(0.25) + math.Log(0.1) + math.Log(0.2) + math.Log(0.5)) / 4)
	if got := results[0]; !near(got.Perplexity, want) || got.KLToDense != 0 || got.Top1Agreement != 1 || got.Tokens != 4 {
		t.Errorf("dense = %+v, want perplexity %v, no divergence, full agreement", got, want)
	}
	want = math.Exp(-(math.Log(0.5) + math.Log(0.1) + math.Log(0.2) + math.Log(0.25)) / 4)
	divergence := (0.5*math.Log(2) - 0.25*math.Log(2)) * 2 / 4
	if got := results[1]; !near(got.Perplexity, want) || !near(got.KLToDense, divergence) || got.Top1Agreement != 0.5 {
		t.Errorf("slim = %+v, want perplexity %v, divergence %v, agreement 0.5", got, want, divergence)
	}
}

// near compares with a tolerance for float32 logits.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-6*max(1, math.Abs(b)) }

func TestWindowsRefuses(t *testing.T) {
	tokens := make([]infer.Token, 10)
	for _, c := range []struct{ size, n int }{{1, 1}, {11, 1}, {5, 3}, {11, 0}} {
		if got, err := Windows(tokens, c.size, c.n); err == nil {
			t.Errorf("Windows(10 tokens, %d, %d) = %d windows, want an error", c.size, c.n, len(got))
		}
	}
}

func TestMeasureRefuses(t *testing.T) {
	two, three := &tableDecoder{table: make([][]float32, 2)}, &tableDecoder{table: make([][]float32, 3)}
	if _, err := Measure(t.Context(), two, []infer.Decoder{three}, [][]infer.Token{{0, 1}}, nil); err == nil {
		t.Error("vocabularies of different sizes were compared")
	}
	if _, err := Measure(t.Context(), two, nil, [][]infer.Token{make([]infer.Token, 9)}, nil); err == nil {
		t.Error("a window beyond the batch was decoded")
	}
}

func TestParseText(t *testing.T) {
	if text, err := ParseText([]byte("è un testo")); text != "è un testo" || err != nil {
		t.Errorf("ParseText = %q, %v", text, err)
	}
	for data, want := range map[string]string{"": "is empty", "a\xff": "is not UTF-8"} {
		if text, err := ParseText([]byte(data)); text != "" || err == nil || err.Error() != want {
			t.Errorf("ParseText(%q) = %q, %v, want an error that it %s", data, text, err, want)
		}
	}
}
