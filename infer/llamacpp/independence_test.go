package llamacpp

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// composition is a way to decode the same tokens into a sequence.
type composition struct {
	chunks   []int // entries of each step
	sequence int
	others   []int // sequences that also decode a token in each step
}

// run decodes the tokens and returns a copy of the last one's logits.
func (c composition) run(t *testing.T, m *Model, tokens []infer.Token) []float32 {
	t.Helper()
	forget(t, m)
	at, wanted := 0, 0
	for step, n := range c.chunks {
		var entries []infer.Entry
		for seq := range m.Sequences() {
			if seq == c.sequence {
				for range n {
					entries = append(entries, infer.Entry{Token: tokens[at], Position: at, Sequence: seq})
					at++
				}
				wanted = len(entries) - 1
				entries[wanted].Logits = at == len(tokens)
			} else if slices.Contains(c.others, seq) {
				entries = append(entries, infer.Entry{Token: infer.Token((step*3 + seq) % m.VocabSize()), Position: step, Sequence: seq, Logits: step%2 == 0})
			}
		}
		decode(t, m, entries...)
	}
	return slices.Clone(m.Logits(wanted))
}

// everyKind returns functions that give a model of each kind of weights.
func everyKind(t *testing.T) map[string]func() string {
	models := map[string]func() string{
		"default": func() string { return defaultModel(t) },
	}
	for _, path := range filepath.SplitList(os.Getenv("PRUNELLM_TEST_MODELS")) { // scripts/test-models sets it
		models[filepath.Base(path)] = func() string { return path }
	}
	for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1} {
		models[kind.String()] = func() string {
			return tiny(t, tinymodel.Options{Type: kind, Hidden: 256, FFN: []int{320, 320}})
		}
		models[kind.String()+" odd rows"] = func() string { // not a multiple of a panel
			return tiny(t, tinymodel.Options{Type: kind, Hidden: 160, Heads: 5, KVHeads: 1, FFN: []int{352, 352}, Vocab: 411})
		}
	}
	for _, kind := range []gguf.Type{gguf.Q4_K, gguf.Q5_K, gguf.Q6_K} {
		for name, shape := range superBlocks {
			shape.Type = kind
			models[kind.String()+" "+name] = func() string { return tiny(t, shape) }
		}
	}
	return models
}

// scattered returns n tokens from all over the vocabulary.
func scattered(m *Model, n int) []infer.Token {
	tokens := make([]infer.Token, n)
	for i := range tokens {
		tokens[i] = infer.Token((i*37 + 11) % m.VocabSize())
	}
	return tokens
}

// The logits of a sequence have the same bits however its prompt is split into steps and whatever else is in the batch.
func TestLogitsDoNotDependOnTheBatch(t *testing.T) {
	for name, path := range everyKind(t) {
		t.Run(name, func(t *testing.T) {
			m := open(t, path(), Options{ContextSize: 256, Sequences: 6, Threads: 2})
			tokens := scattered(m, 40)
			want := composition{chunks: slices.Repeat([]int{1}, 40)}.run(t, m, tokens)
			for name, c := range map[string]composition{
				"again":            {chunks: slices.Repeat([]int{1}, 40)},
				"at once":          {chunks: []int{40}},
				"other sequence":   {chunks: []int{40}, sequence: 5},
				"pairs":            {chunks: slices.Repeat([]int{2}, 20)},
				"uneven":           {chunks: []int{3, 7, 1, 13, 16}},
				"one at the end":   {chunks: []int{39, 1}},
				"with one":         {chunks: slices.Repeat([]int{1}, 40), others: []int{1}},
				"with all":         {chunks: slices.Repeat([]int{1}, 40), sequence: 2, others: []int{0, 1, 3, 4, 5}},
				"with a gap":       {chunks: slices.Repeat([]int{1}, 40), sequence: 4, others: []int{0, 2}},
				"chunks with some": {chunks: slices.Repeat([]int{5}, 8), sequence: 1, others: []int{0, 2, 3}},
				"late chunk":       {chunks: []int{1, 1, 37, 1}, sequence: 3, others: []int{2, 4, 5}},
			} {
				if got := c.run(t, m, tokens); !slices.Equal(got, want) {
					t.Errorf("%s: the logits differ from those of one token at a time", name)
				}
			}
		})
	}
}

// Every token of a draft has the same logits as without a draft, up to the first token that differs, and so have the tokens
// after the rest of the draft was removed.
func TestLogitsDoNotDependOnDrafts(t *testing.T) {
	for name, path := range everyKind(t) {
		t.Run(name, func(t *testing.T) {
			m := open(t, path(), Options{ContextSize: 256, Sequences: 4, Threads: 2})
			tokens := scattered(m, 40)
			var want [][]float32
			for i, token := range tokens {
				decode(t, m, infer.Entry{Token: token, Position: i, Logits: true})
				want = append(want, slices.Clone(m.Logits(0)))
			}
			for _, sequences := range [][]int{{0}, {2}, {0, 1, 3}} {
				forget(t, m)
				at := make([]int, m.Sequences())
				for step := 0; slices.Max(at) < len(tokens)-1; step++ {
					var entries []infer.Entry
					right := make([]int, m.Sequences()) // tokens of the draft that are right
					for _, seq := range sequences {
						draft := (step*5 + seq*3) % 17
						right[seq] = min((step*3+seq)%(draft+1), len(tokens)-1-at[seq])
						for i := range draft + 1 {
							token := infer.Token((step + i*13) % m.VocabSize())
							if i <= right[seq] {
								token = tokens[at[seq]+i]
							}
							entries = append(entries, infer.Entry{Token: token, Position: at[seq] + i, Sequence: seq, Logits: true})
						}
					}
					decode(t, m, entries...)
					for i, e := range entries {
						if e.Position <= at[e.Sequence]+right[e.Sequence] && !slices.Equal(m.Logits(i), want[e.Position]) {
							t.Fatalf("sequences %v: the logits of token %d of sequence %d differ from those without a draft", sequences, e.Position, e.Sequence)
						}
					}
					for _, seq := range sequences {
						at[seq] += right[seq] + 1
						if err := m.SequenceRemove(seq, at[seq], -1); err != nil {
							t.Fatal(err)
						}
						if at[seq] == len(tokens) { // the others go on
							if err := m.SequenceRemove(seq, 0, -1); err != nil {
								t.Fatal(err)
							}
							at[seq] = 0
						}
					}
				}
			}
		})
	}
}

// A cached prefix of an earlier prompt, or a copied one of another sequence, gives the same bits as decoding it again.
func TestLogitsDoNotDependOnTheCache(t *testing.T) {
	m := open(t, defaultModel(t), Options{ContextSize: 256, Sequences: 3, Threads: 2})
	tokens, err := m.Tokenize("A prompt that was seen before, at least for the greater part of it, and then goes on.", true, true)
	if err != nil {
		t.Fatal(err)
	}
	want := composition{chunks: []int{len(tokens)}}.run(t, m, tokens)
	rest := func(seq, kept int) []float32 {
		var entries []infer.Entry
		for i := kept; i < len(tokens); i++ {
			entries = append(entries, infer.Entry{Token: tokens[i], Position: i, Sequence: seq, Logits: i == len(tokens)-1})
		}
		decode(t, m, entries...)
		return m.Logits(len(entries) - 1)
	}
	const kept = 9
	if err := m.SequenceRemove(0, kept, -1); err != nil {
		t.Fatal(err)
	}
	if err := m.SequenceCopy(0, 2); err != nil {
		t.Fatal(err)
	}
	if got := rest(0, kept); !slices.Equal(got, want) {
		t.Error("after a kept prefix the logits differ")
	}
	if got := rest(2, kept); !slices.Equal(got, want) {
		t.Error("after a copied prefix the logits differ")
	}
	state, err := m.SaveSequence(2)
	if err != nil {
		t.Fatal(err)
	}
	forget(t, m)
	if err := m.RestoreSequence(1, state, len(tokens)); err != nil {
		t.Fatal(err)
	}
	if err := m.SequenceRemove(1, kept, -1); err != nil {
		t.Fatal(err)
	}
	if got := rest(1, kept); !slices.Equal(got, want) {
		t.Error("after a saved and restored prefix the logits differ")
	}
}
