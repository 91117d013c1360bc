package variant

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/convert"
	"prunellm/prune"
)

// A refit reads the scored sequences and further ones, or only some of the scored ones.
func TestRefitSequences(t *testing.T) {
	text := Text{Tokens: [][]int32{{1, 1}, {2, 2}, {3, 3}, {4, 4}}, Further: [][]int32{{5, 5}}, HeldOut: [][]int32{{6, 6}}}
	for tokens, want := range map[int][]int32{1: {1}, 2: {1}, 4: {1, 3}, 7: {1, 2, 3}, 8: {1, 2, 3, 4, 5}, 100: {1, 2, 3, 4, 5}} {
		var got []int32
		for _, sequence := range text.Refit(tokens) {
			got = append(got, sequence[0])
		}
		if !slices.Equal(got, want) {
			t.Errorf("a refit on %d tokens reads sequences %v, want %v", tokens, got, want)
		}
	}
	if got := (Text{}).Refit(10); len(got) != 0 {
		t.Errorf("Refit without text = %v", got)
	}
}

// Stored text has a separate member for what only the refit reads. Text without it has the earlier form.
func TestFurtherTextIsStored(t *testing.T) {
	text := Text{Tokens: [][]int32{{1, 2}}, Further: [][]int32{{3, 4, 5}}, HeldOut: [][]int32{{6, 7}}}
	value, err := EncodeText(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeText(value, 8)
	if diff := cmp.Diff(text, got); err != nil || diff != "" {
		t.Errorf("decoded text: %v (-want +got):\n%s", err, diff)
	}
	if _, err := DecodeText(value, 5); err == nil {
		t.Error("a further token beyond the vocabulary is accepted")
	}
	text.Further = nil
	if value, err = EncodeText(text); err != nil || string(value) != `{"tokens":[[1,2]],"held_out":[[6,7]]}` {
		t.Errorf("text without further tokens is stored as %s, %v", value, err)
	}
}

// The number of refit tokens is part of the keys of the text and of the refit, but of no other key, so all refits share
// one set of scores. Keys of earlier versions, which refitted on the scored tokens, do not change.
func TestRefitTokensInKeys(t *testing.T) {
	recipe := prune.DefaultRecipe()
	recipe.Tokens, recipe.Calibration = 8192, "self-2"
	spec := Spec{Ratio: 0.2, Recipe: recipe, Calibration: Calibration{Length: 256}, Budget: prune.Global, Reconstruct: true, FileType: convert.Keep}
	plan := &prune.Plan{Kept: [][]int{{1, 2}}, Dense: []int{4}}
	of := func(refit int) keys {
		s := spec
		s.RefitTokens = refit
		return keys{model: "m", spec: s}
	}
	before := of(0)
	const text, down = "c9c15be7581379b6", "97c0253c51683ab1"
	if got := before.calibration().Recipe[:16]; got != text {
		t.Errorf("the key of the text begins with %s, want the earlier %s", got, text)
	}
	if got := before.down(plan).Detail; got != down+"-keep" {
		t.Errorf("the key of the refit ends in %s, want the earlier %s-keep", got, down)
	}
	if of(8192).calibration() != before.calibration() || of(8192).down(plan) != before.down(plan) {
		t.Error("the keys of a refit on the scored tokens have changed")
	}
	if of(1024).calibration() != before.calibration() || of(1024).down(plan) == before.down(plan) {
		t.Error("a refit on fewer tokens must have the same text key and a new refit key")
	}
	more := of(32768)
	if more.calibration() == before.calibration() || more.down(plan) == before.down(plan) || more.calibration() == of(65536).calibration() {
		t.Error("a refit on more tokens has the same keys")
	}
	if more.scores() != before.scores() || more.plan() != before.plan() {
		t.Error("the tokens of the refit change the keys of the scores")
	}
	more.spec.Reconstruct = false
	if more.calibration() != before.calibration() || more.spec.recipe() != recipe.String() {
		t.Error("without a refit, RefitTokens changes the keys")
	}
}
