package infer

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"prunellm/infer/gbnf"
)

func mustGrammar(tb testing.TB, text string) *gbnf.Grammar {
	tb.Helper()
	g, err := gbnf.Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// wordDecoder has a vocabulary of 49,152 random words.
type wordDecoder struct {
	*fakeDecoder
	words [][]byte
}

func newWordDecoder() *wordDecoder {
	random := rand.New(rand.NewPCG(1, 2))
	d := &wordDecoder{fakeDecoder: newFake(1, 64, 16)}
	for i := range 49152 {
		switch {
		case i < 256:
			d.words = append(d.words, []byte{byte(i)})
		default:
			word := []byte{}
			if i%2 == 0 {
				word = append(word, ' ')
			}
			for range 2 + random.IntN(7) {
				word = append(word, "etaoinshrdlucmfwypvbgkqjxz,.\"{}[]0123456789"[min(random.IntN(43), random.IntN(43))])
			}
			d.words = append(d.words, word)
		}
	}
	return d
}

func (d *wordDecoder) VocabSize() int               { return len(d.words) }
func (d *wordDecoder) Piece(t Token, _ bool) []byte { return d.words[t] }
func (d *wordDecoder) EndOfGeneration(t Token) bool { return t == 0 }

// BenchmarkGrammar measures the time that a grammar adds to one token inside a JSON string: once if the grammar allows the
// first candidate, and once if the sampler has to test the whole vocabulary.
func BenchmarkGrammar(b *testing.B) {
	dec := newWordDecoder()
	index := newGrammarIndex(dec)
	schema, err := gbnf.FromSchema([]byte(`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"array","items":{"type":"number"}}},"required":["a","b"]}`))
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{"string": `{"a": "some`, "number": `{"a": "some", "b": [1`, "start": ``} {
		start := func() *constraint {
			c := &constraint{matcher: mustGrammar(b, schema).Matcher(), vocabulary: index.vocabulary, dec: dec, ends: index.ends}
			if err := c.matcher.Advance([]byte(text)); err != nil {
				b.Fatal(err)
			}
			return c
		}
		b.Run(fmt.Sprintf("candidate/%s", name), func(b *testing.B) {
			c := start()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.allows('1'); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("vocabulary/%s", name), func(b *testing.B) {
			c, sc, logits := start(), newScratch(len(dec.words), nil), make([]float32, len(dec.words))
			b.ReportAllocs()
			for b.Loop() {
				clear(logits)
				if _, err := c.restrict(logits, sc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			newGrammarIndex(dec)
		}
	})
}
