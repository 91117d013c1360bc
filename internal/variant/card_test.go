package variant_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"prunellm/internal/store"
	"prunellm/internal/variant"
)

// cardOf returns a variant's card and counts the measurements in measured.
func (w *workshop) cardOf(t *testing.T, s variant.Spec, built variant.Built, measured *int) variant.Card {
	t.Helper()
	card, err := w.Card(t.Context(), s, built, func(_ context.Context, c variant.Comparison) (variant.Card, error) {
		*measured++
		if c.Dense != w.Model.Path() || c.Variant != built.Path || len(c.Windows) != 1 || !slices.Equal(c.Windows[0], []int32{7, 8, 9}) {
			t.Errorf("comparison = %+v, want dense and variant on the held-out tokens", c)
		}
		return variant.Card{Perplexity: 12, DensePerplexity: 10, KLToDense: 0.25, Top1Agreement: 0.75, Tokens: 2}, nil
	})
	if err != nil {
		t.Fatalf("Card = %v", err)
	}
	return card
}

// The same file and text are measured once, and the next process finds the card. A damaged card is measured again.
func TestCardIsMeasuredOnce(t *testing.T) {
	cache, measured := t.TempDir(), 0
	w := newWorkshop(t, cache)
	built := w.build(t, spec(0.2))
	card := w.cardOf(t, spec(0.2), built, &measured)
	if card.Ratio() != 1.2 || card.Tokens != 2 || measured != 1 {
		t.Fatalf("card = %+v after %d measurements, want 1.2 after one", card, measured)
	}
	again := newWorkshop(t, cache)
	if got := again.cardOf(t, spec(0.2), built, &measured); got != card || measured != 1 {
		t.Errorf("card of the next process = %+v after %d measurements, want %+v after one", got, measured, card)
	}
	if other := again.build(t, spec(0.1)); again.cardOf(t, spec(0.1), other, &measured) != card || measured != 2 {
		t.Errorf("%d measurements after a second ratio, want 2", measured)
	}

	digest, err := w.Model.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.Store.List(t.Context(), digest, store.KindCard)
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys of cards = %v, %v, want two", keys, err)
	}
	for _, key := range keys {
		if err := w.Store.Put(t.Context(), key, []byte(`{"perplexity": 0.5}`)); err != nil {
			t.Fatal(err)
		}
	}
	if got := again.cardOf(t, spec(0.2), built, &measured); got != card || measured != 3 || again.corrupt != 1 {
		t.Errorf("card = %+v after %d measurements and %d corrupt, want it measured again", got, measured, again.corrupt)
	}
}

// Card returns an error for missing held-out text, for values out of range and for a failed measurement.
func TestCardErrors(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	built := w.build(t, spec(0))
	give := func(card variant.Card, err error) func(context.Context, variant.Comparison) (variant.Card, error) {
		return func(context.Context, variant.Comparison) (variant.Card, error) { return card, err }
	}
	if _, err := w.Card(t.Context(), spec(0), built, give(variant.Card{}, nil)); !errors.Is(err, variant.ErrNoHeldOut) {
		t.Errorf("Card without calibration = %v, want ErrNoHeldOut", err)
	}
	built = w.build(t, spec(0.2))
	bad := variant.Card{Perplexity: math.NaN(), DensePerplexity: 10, Tokens: 2}
	if _, err := w.Card(t.Context(), spec(0.2), built, give(bad, nil)); err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("Card with NaN = %v, want an error", err)
	}
	broken := errors.New("decoder broke")
	if _, err := w.Card(t.Context(), spec(0.2), built, give(bad, broken)); !errors.Is(err, broken) {
		t.Errorf("Card = %v, want the measurement's error", err)
	}
}

// Encoding and decoding a Text keeps both parts. The input of `score` may lack the held-out part.
func TestText(t *testing.T) {
	text := variant.Text{Tokens: [][]int32{{1, 2}, {3, 4, 5}}, HeldOut: [][]int32{{6, 7}}}
	value, err := variant.EncodeText(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := variant.DecodeText(value, 8)
	if err != nil || !slices.EqualFunc(got.Tokens, text.Tokens, slices.Equal) || !slices.EqualFunc(got.HeldOut, text.HeldOut, slices.Equal) {
		t.Errorf("DecodeText = %v, %v, want %v", got, err, text)
	}
	for _, bad := range []string{
		`{"tokens": []}`, `{"tokens": [[1]]}`, `{"tokens": [[1, 8]]}`, `{"tokens": [[1, -1]]}`, `{"tokens": [[1, 2]]} x`, `[]`, ``,
		`{"tokens": [[1, 2]], "held_out": [[1]]}`, `{"tokens": [[1, 2]], "held_out": [[1, 9]]}`, `{"held_out": [[1, 2]]}`,
		`{"tokens": [[1, null]]}`, `{"tokens": [[1, 2]], "held_out": [[1, null]]}`,
	} {
		if got, err := variant.DecodeText([]byte(bad), 8); err == nil {
			t.Errorf("DecodeText(%s) = %v, want an error", bad, got)
		}
	}
}

// DecodeTokens reads only the member "tokens".
func TestDecodeTokens(t *testing.T) {
	for _, good := range []string{
		`{"tokens": [[1, 2]]}`, `{"tokens": [[1, 2]], "held_out": [[1]]}`, `{"held_out": "x", "alpha": 1e999, "tokens": [[1, 2]]}`,
		`{"tokens": [[1, 2]], "Tokens": "x", "TOKENS": 3}`,
	} {
		got, err := variant.DecodeTokens([]byte(good), 8)
		if err != nil || !slices.EqualFunc(got, [][]int32{{1, 2}}, slices.Equal) {
			t.Errorf("DecodeTokens(%s) = %v, %v", good, got, err)
		}
	}
	for _, bad := range []string{
		``, `[]`, `{}`, `{"Tokens": [[1, 2]]}`, `{"tokens": []}`, `{"tokens": null}`, `{"tokens": [[1]]}`, `{"tokens": [[1, 8]]}`,
		`{"tokens": [[1, -1]]}`, `{"tokens": [[1, 2]]} x`, `{"tokens": [[1, 2.5]]}`,
	} {
		if got, err := variant.DecodeTokens([]byte(bad), 8); err == nil {
			t.Errorf("DecodeTokens(%s) = %v, want an error", bad, got)
		}
	}
	for bad, want := range map[string]string{
		`{"tokens": [[null, 2, 3]]}`:               "token 0 of sequence 0 is null",
		`{"tokens": [[1, 2], [3, 4, null, null]]}`: "token 2 of sequence 1 is null",
		`{"tokens": [[1, 2], null]}`:               "sequence 1 has 0 tokens",
		`{"tokens": [null, [1, null]]}`:            "sequence 0 has 0 tokens",
		`{"tokens": null}`:                         "0 sequences",
	} {
		if _, err := variant.DecodeTokens([]byte(bad), 8); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("DecodeTokens(%s) = %v, want %q", bad, err, want)
		}
	}
}

func FuzzDecodeCard(f *testing.F) {
	f.Add([]byte(`{"perplexity": 12, "dense_perplexity": 10, "kl_to_dense": 0.25, "top1_agreement": 0.75, "tokens": 2}`))
	f.Add([]byte(`{"perplexity": 1e999}`))
	f.Add([]byte(`{"tokens": 2} {}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		card, err := variant.DecodeCard(value)
		if err == nil && !(card.Perplexity >= 1 && card.Ratio() > 0 && card.Tokens > 0 && card.Top1Agreement <= 1) {
			t.Errorf("DecodeCard(%q) = %+v, which no measurement can give", value, card)
		}
	})
}

func FuzzDecodeText(f *testing.F) {
	f.Add([]byte(`{"tokens": [[1, 2], [3, 4]], "held_out": [[5, 6]]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		text, err := variant.DecodeText(value, 8)
		if err != nil {
			return
		}
		if len(text.Tokens) == 0 {
			t.Error("DecodeText accepts text without tokens")
		}
		for _, sequence := range slices.Concat(text.Tokens, text.HeldOut) {
			if len(sequence) < 2 || slices.Min(sequence) < 0 || slices.Max(sequence) >= 8 {
				t.Errorf("DecodeText accepts the sequence %v", sequence)
			}
		}
	})
}
