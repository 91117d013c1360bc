package variant_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/store"
	"prunellm/internal/variant"
)

// quickAndRefined are specs of one text: the first scores on half of it, the second refits on further text.
func quickAndRefined() (quick, refined variant.Spec) {
	quick, refined = spec(0.2), spec(0.2)
	quick.Recipe.Tokens, quick.TextTokens, quick.RefitTokens = 3, 6, 6
	refined.RefitTokens = 9
	return quick, refined
}

// A variant that is scored on a part of a text shares the text and the held-out part with one that is scored on all of it,
// and nothing else.
func TestPartOfAText(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	quick, refined := quickAndRefined()
	first := w.build(t, quick)
	before := 0
	w.cardOf(t, refined, first, &before) // the text has its held-out part already
	if diff := cmp.Diff([][][]int32{{{1, 2, 3}}, {{1, 2, 3}, {4, 5, 6}}}, [][][]int32{w.runner.scored, w.runner.fitted}); diff != "" {
		t.Errorf("scored and refitted on (-want +got):\n%s", diff)
	}
	second := w.build(t, refined)
	if diff := cmp.Diff([][][]int32{{{1, 2, 3}, {4, 5, 6}}, {{1, 2, 3}, {4, 5, 6}, {10, 11, 12}}}, [][][]int32{w.runner.scored, w.runner.fitted}); diff != "" {
		t.Errorf("then scored and refitted on (-want +got):\n%s", diff)
	}
	if w.runner.calibrations != 1 || w.runner.scores != 2 || first.Digest == second.Digest {
		t.Errorf("%d texts, %d scores, digests %s and %s; want one text, and all else twice", w.runner.calibrations, w.runner.scores, first.Digest, second.Digest)
	}
	if diff := cmp.Diff([][]int32{{7, 8, 9}}, w.runner.base.HeldOut); diff != "" {
		t.Errorf("the further text is written without knowing the held-out part (-want +got):\n%s", diff)
	}
	measured := 0
	for _, s := range []variant.Spec{quick, refined} {
		w.cardOf(t, s, first, &measured)
		w.cardOf(t, s, second, &measured)
	}
	if before != 1 || measured != 1 {
		t.Errorf("%d and %d measurements of two files on one held-out text, want one each", before, measured)
	}
}

// Find and FindCard compute and wait for nothing, and find what Build and Card have made.
func TestFind(t *testing.T) {
	cache := t.TempDir()
	w := newWorkshop(t, cache)
	quick, refined := quickAndRefined()
	if _, err := w.Find(t.Context(), quick); !errors.Is(err, store.ErrNotFound) || w.runner.scores != 0 {
		t.Errorf("Find in an empty store = %v after %d scores, want ErrNotFound", err, w.runner.scores)
	}
	made := w.build(t, quick)
	if _, err := w.FindCard(t.Context(), quick, made); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("FindCard before it is measured = %v, want ErrNotFound", err)
	}
	measured := 0
	card := w.cardOf(t, quick, made, &measured)

	again := newWorkshop(t, cache)
	again.Leaser = nil // nobody may be waited for
	found, err := again.Find(t.Context(), quick)
	if err != nil || found.Digest != made.Digest || again.runner.scores+again.runner.refits != 0 {
		t.Errorf("Find = %+v, %v after %+v, want what was built", found, err, *again.runner)
	}
	if got, err := again.FindCard(t.Context(), quick, found); err != nil || got != card {
		t.Errorf("FindCard = %+v, %v, want %+v", got, err, card)
	}
	if _, err := again.Find(t.Context(), refined); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Find of another recipe = %v, want ErrNotFound", err)
	}
	digest, err := w.Model.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []store.Kind{store.KindDown, store.KindCard} {
		keys, err := w.Store.List(t.Context(), digest, kind)
		if err != nil || len(keys) != 1 {
			t.Fatalf("keys of kind %s: %v, %v, want one", kind, keys, err)
		}
		if err := w.Store.Put(t.Context(), keys[0], []byte("damaged")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := again.Find(t.Context(), quick); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Find of a damaged value = %v, want ErrNotFound", err)
	}
	if _, err := again.FindCard(t.Context(), quick, found); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("FindCard of a damaged card = %v, want ErrNotFound", err)
	}
}

// A file's stage follows from how it was made.
func TestStageOfAFile(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	converted := spec(0)
	converted.FileType = "f16"
	for stage, s := range map[string]variant.Spec{variant.Dense: spec(0), variant.Refined: spec(0.2)} {
		if got := w.build(t, s).Stage; got != stage {
			t.Errorf("ratio %v: stage %q, want %q", s.Ratio, got, stage)
		}
	}
	if got := w.build(t, converted).Stage; got != variant.Dense {
		t.Errorf("a converted model: stage %q, want %q", got, variant.Dense)
	}
	trained, _, err := w.Recover(t.Context(), spec(0.2), variant.Recovery{Tokens: 64, Source: "self"}, &fakeTrainer{t: t, model: w.Model, gain: true}, nil)
	if err != nil || trained.Stage != variant.Healed {
		t.Errorf("a trained variant: stage %q, %v, want %q", trained.Stage, err, variant.Healed)
	}
}

// The size of the text is part of the keys only where it is not that of the recipe.
func TestTextTokens(t *testing.T) {
	s := spec(0.2)
	whole := s
	whole.TextTokens = s.Recipe.Tokens
	if s.Text() != 6 || s.Further() != 0 || s.HeldOut() != whole.HeldOut() {
		t.Errorf("text %d, further %d, held out %d", s.Text(), s.Further(), s.HeldOut())
	}
	w := newWorkshop(t, t.TempDir())
	if a, b := w.build(t, s), w.build(t, whole); a.Digest != b.Digest || w.runner.scores != 1 || w.runner.refits != 1 {
		t.Errorf("a text of the recipe's size is another text: %+v", *w.runner)
	}
	quick, refined := quickAndRefined()
	if quick.Text() != 6 || quick.Further() != 0 || refined.Further() != 3 || quick.HeldOut() != refined.HeldOut() {
		t.Errorf("quick: text %d, further %d; refined: further %d", quick.Text(), quick.Further(), refined.Further())
	}
}
