package calibration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func writeText(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A mixture's identity depends on its texts and weights, but not on the names of files.
func TestFindMixture(t *testing.T) {
	a, b := writeText(t, "a.txt", "one text"), writeText(t, "b.txt", "another text")
	find := func(value string) Reference {
		t.Helper()
		ref, err := Find(value)
		if err != nil {
			t.Fatalf("Find(%q) = %v", value, err)
		}
		return ref
	}
	mixture := find(a + "=2," + b + ",general=0.5")
	if want := a + "=2," + b + "=1,general=0.5"; mixture.File != want || len(mixture.Identity) > 80 {
		t.Errorf("Find = %+v, want file %q and at most 80 bytes of identity", mixture, want)
	}
	if again := find(mixture.File); again != mixture {
		t.Errorf("Find of the reference's own list = %+v, want %+v", again, mixture)
	}
	renamed := writeText(t, "c,d=e.txt", "one text")
	if ref := find(renamed); ref.File != renamed || strings.HasPrefix(ref.Identity, mixturePrefix) {
		t.Errorf("a file with a comma in its name gives %+v, want the file", ref)
	}
	if got := find(writeText(t, "z.txt", "one text") + "=2," + b + ",general=0.5"); got.Identity != mixture.Identity {
		t.Error("the same text in another file has a different identity")
	}
	for _, other := range []string{a + "," + b + ",general=0.5", a + "=2," + b, b + "," + a + "=2,general=0.5"} {
		if find(other).Identity == mixture.Identity {
			t.Errorf("%q has the same identity as another mixture", other)
		}
	}
	for value, want := range map[string]string{
		a + "=0," + b:                           "weight",
		a + "=x," + b:                           "weight",
		a + "=NaN," + b:                         "weight",
		a + "=-1," + b:                          "weight",
		a + "=1e9," + b:                         "weight",
		a + ",":                                 "is not a valid source",
		",general":                              "is not a valid source",
		a + "," + a:                             "appears twice",
		"general,general":                       "appears twice",
		"general,missing.txt=2":                 "missing.txt",
		strings.Repeat("self,", 16) + "general": "the limit is 16",
	} {
		if _, err := Find(value); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Find(%q) = %v, want one line with %q", value, err, want)
		}
	}
	if err := os.WriteFile(a, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mixture.Open(Dense{}); !errors.Is(err, ErrTextChanged) {
		t.Errorf("Open after a change gives %v, want ErrTextChanged", err)
	}
}

// constantSource returns sequences that repeat one token.
type constantSource struct {
	token int32
	most  int // maximum number of sequences
	asked *Want
}

func (s constantSource) Sequences(_ context.Context, want Want, progress func(done, total int)) ([][]int32, error) {
	*s.asked = want
	sequences := make([][]int32, min(want.Tokens/want.Length, s.most))
	for i := range sequences {
		sequences[i] = slices.Repeat([]int32{s.token}, want.Length)
	}
	progress(want.Tokens, want.Tokens)
	return sequences, nil
}

// Sources provide their shares, and every stretch has some of each. A source with too little text provides all that it
// has.
func TestMixtureSource(t *testing.T) {
	var asked [2]Want
	mixture := func(most int) mixtureSource {
		return mixtureSource{sources: []Source{constantSource{1, 1000, &asked[0]}, constantSource{2, most, &asked[1]}}, weights: []float64{1, 2}, names: "mixture"}
	}
	var reported [][2]int
	got, err := mixture(1000).Sequences(t.Context(), Want{Tokens: 4 * 120, Length: 4, Seed: 3, AtLeast: 8}, func(done, total int) {
		reported = append(reported, [2]int{done, total})
	})
	if err != nil || len(got) != 120 {
		t.Fatalf("%d sequences, %v, want 120", len(got), err)
	}
	if asked[0].Tokens != 160 || asked[1].Tokens != 320 || asked[1].Seed != 3 || asked[1].AtLeast != 0 {
		t.Errorf("requests to the sources: %+v", asked)
	}
	if diff := cmp.Diff([][2]int{{160, 480}, {480, 480}}, reported); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	for from := 0; from+12 <= len(got); from++ {
		first := 0
		for _, sequence := range got[from : from+12] {
			if sequence[0] == 1 {
				first++
			}
		}
		if first < 2 || first > 6 {
			t.Errorf("sequences %d to %d include %d of the first source, want about 4", from, from+12, first)
		}
	}
	_, heldOut := HoldOut(got, 4*40, 4)
	kinds := map[int32]int{}
	for _, sequence := range heldOut {
		kinds[sequence[0]]++
	}
	if kinds[1] < 5 || kinds[2] < 5 {
		t.Errorf("a held-out third includes %v of the sources, want some of each", kinds)
	}
	again, err := mixture(1000).Sequences(t.Context(), Want{Tokens: 4 * 120, Length: 4, Seed: 3}, func(int, int) {})
	if diff := cmp.Diff(got, again); err != nil || diff != "" {
		t.Errorf("the same arguments give a different order: %v", err)
	}
	if got, err := mixture(3).Sequences(t.Context(), Want{Tokens: 4 * 120, Length: 4}, func(int, int) {}); err != nil || len(got) != 43 {
		t.Errorf("with 3 sequences of the second source: %d, %v, want 43", len(got), err)
	}
	if _, err := mixture(0).Sequences(t.Context(), Want{Tokens: 12, Length: 4, AtLeast: 8}, func(int, int) {}); !errors.Is(err, ErrTooShort) {
		t.Errorf("Sequences with 4 tokens instead of 8 = %v, want ErrTooShort", err)
	}
}

func TestShares(t *testing.T) {
	for _, test := range []struct {
		n       int
		weights []float64
		want    []int
	}{
		{3, []float64{1}, []int{3}}, {3, []float64{1, 1}, []int{2, 1}}, {9, []float64{1, 2}, []int{3, 6}}, {0, []float64{1, 2}, []int{0, 0}},
		{1, []float64{1, 100}, []int{0, 1}}, {10, []float64{1, 1, 1}, []int{3, 4, 3}},
	} {
		if got := shares(test.n, test.weights); !slices.Equal(got, test.want) {
			t.Errorf("shares(%d, %v) = %v, want %v", test.n, test.weights, got, test.want)
		}
	}
}

// cutOut removes only the first occurrence of each sequence, in one pass.
func TestCutOut(t *testing.T) {
	for _, test := range []struct{ tokens, want []int32 }{
		{[]int32{1, 2, 3, 4, 5}, []int32{1, 4, 5}},
		{[]int32{2, 3, 2, 3, 2}, []int32{2, 3, 2}},
		{[]int32{5, 6, 7, 2}, []int32{2}},
		{[]int32{5, 6}, []int32{5, 6}},
		{[]int32{2}, []int32{2}},
		{nil, nil},
	} {
		got := cutOut(slices.Clone(test.tokens), [][]int32{{2, 3}, {5, 6, 7}, {9}})
		if !slices.Equal(got, test.want) {
			t.Errorf("cutOut of %v leaves %v, want %v", test.tokens, got, test.want)
		}
	}
}

// Every model that can tokenize can use the general text.
func TestGeneralSource(t *testing.T) {
	source := generalSource(Dense{}).(textSource)
	got, err := source.cut(t.Context(), &letters{}, Want{Tokens: 1000, Length: 10, AtLeast: 1000}, nil)
	if err != nil || len(got) != 100 {
		t.Errorf("%d sequences, %v, want 100", len(got), err)
	}
}
