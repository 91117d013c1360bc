package improve

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/convert"
	"prunellm/internal/variant"
	"prunellm/prune"
)

// recipe is a spec that scores on so many tokens and refits on others.
func recipe(scored, refitted int) variant.Spec {
	r := prune.DefaultRecipe()
	r.Criterion, r.Tokens, r.Calibration = prune.SDM2, scored, "self-2"
	return variant.Spec{
		Ratio: 0.2, Recipe: r, Calibration: variant.Calibration{Length: 256}, Budget: prune.Global, Reconstruct: true, RefitTokens: refitted,
		FileType: convert.Keep,
	}
}

func stages(steps []Step) (names []string) {
	for _, step := range steps {
		names = append(names, step.Stage)
	}
	return names
}

func TestPlan(t *testing.T) {
	standard := recipe(4096, 16384)
	unfitted, weights := standard, standard
	unfitted.Reconstruct = false
	weights.Recipe.Criterion = prune.Magnitude
	for name, test := range map[string]struct {
		spec     variant.Spec
		quick    bool
		training time.Duration
		want     []string
	}{
		"off":                            {standard, false, 0, []string{"refined"}},
		"training alone":                 {standard, false, time.Minute, []string{"refined", "healed"}},
		"all":                            {standard, true, time.Minute, []string{"quick", "refined", "healed"}},
		"no training":                    {standard, true, 0, []string{"quick", "refined"}},
		"a recipe as small":              {recipe(512, 512), true, time.Minute, []string{"refined", "healed"}},
		"a recipe that refits on more":   {recipe(512, 4096), true, 0, []string{"quick", "refined"}},
		"without a refit":                {unfitted, true, 0, []string{"quick", "refined"}},
		"a criterion that reads no text": {weights, true, 0, []string{"quick", "refined"}},
	} {
		steps := Plan(test.spec, test.quick, test.training)
		if diff := cmp.Diff(test.want, stages(steps)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, step := range steps {
			if step.Stage != variant.Quick && step.Spec != test.spec {
				t.Errorf("%s: stage %s has another spec: %+v", name, step.Stage, step.Spec)
			}
			if step.Trains != (step.Budget > 0) {
				t.Errorf("%s: stage %s has the budget %s", name, step.Stage, step.Budget)
			}
			if step.Spec.Text() != test.spec.Text() || step.Spec.HeldOut() != test.spec.HeldOut() {
				t.Errorf("%s: stage %s has another text or held-out part", name, step.Stage)
			}
		}
	}
}

// The quick stage reads less of the same text, and never more than the recipe.
func TestQuickReadsAPart(t *testing.T) {
	var quick Row
	for _, row := range Rows() {
		if row.Stage == variant.Quick {
			quick = row
		}
	}
	part := quick.part(recipe(4096, 16384))
	if part.Recipe.Tokens != quick.Scored || part.Refits() != quick.Refitted || part.Text() != 4096 || part.Further() != 0 {
		t.Errorf("a part of the standard recipe scores on %d, refits on %d of %d and %d more", part.Recipe.Tokens, part.Refits(), part.Text(), part.Further())
	}
	small := quick.part(recipe(512, 4096))
	if small.Recipe.Tokens != 512 || small.TextTokens != 0 || small.Refits() != 512 || small.Further() != 0 {
		t.Errorf("a part of a small recipe is %+v, want the same scores and a refit on the scored tokens", small)
	}
}

func TestStepsSayWhatTheyDo(t *testing.T) {
	unfitted := recipe(4096, 16384)
	unfitted.Reconstruct = false
	var got []string
	for _, step := range append(Plan(recipe(4096, 16384), false, 90*time.Second), Plan(unfitted, false, 0)...) {
		got = append(got, step.String())
	}
	want := []string{"refined, scored on 4096 tokens and refitted on 16384", "healed, trained for 1m30s", "refined, scored on 4096 tokens"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBetter(t *testing.T) {
	answers := variant.Card{KLToDense: 0.5, Perplexity: 20, Tokens: 510}
	for name, test := range map[string]struct {
		candidate variant.Card
		want      bool
	}{
		"closer":                    {variant.Card{KLToDense: 0.4, Perplexity: 21, Tokens: 510}, true},
		"as close":                  {variant.Card{KLToDense: 0.5, Perplexity: 19, Tokens: 510}, false},
		"farther":                   {variant.Card{KLToDense: 0.6, Perplexity: 19, Tokens: 510}, false},
		"closer, but on other text": {variant.Card{KLToDense: 0.4, Perplexity: 19, Tokens: 255}, false},
	} {
		if got := Better(answers, test.candidate); got != test.want {
			t.Errorf("%s: Better = %t, want %t", name, got, test.want)
		}
	}
}

func TestParseBudget(t *testing.T) {
	for text, want := range map[string]Budget{
		"off": {}, "on": {On: true, Training: DefaultTraining}, "15m": {On: true, Training: 15 * time.Minute}, "0s": {On: true}, "168h": {On: true, Training: maxTraining},
	} {
		if got, err := ParseBudget(text); err != nil || got != want {
			t.Errorf("ParseBudget(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yes", "15", "-1m", "169h", "1e9h", "NaN", strings.Repeat("9", 1000)} {
		if got, err := ParseBudget(text); err == nil || len(err.Error()) > 200 {
			t.Errorf("ParseBudget(%q) = %+v, %v, want a short error", text, got, err)
		}
	}
}

// Every stage has a row, in the order in which they answer.
func TestRows(t *testing.T) {
	var names []string
	for _, row := range Rows() {
		names = append(names, row.Stage)
		if row.Work == "" || strings.HasSuffix(row.Work, ".") {
			t.Errorf("stage %s: work %q, want a phrase without a period", row.Stage, row.Work)
		}
	}
	if diff := cmp.Diff([]string{variant.Dense, variant.Quick, variant.Refined, variant.Healed}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
