package prune

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/models"
)

// smolLM2 is the shape of SmolLM2-135M.
func smolLM2() models.Config {
	c := models.Config{VocabSize: 49152, HiddenSize: 576, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64, TiedEmbeddings: true}
	for range c.Layers {
		c.FFN = append(c.FFN, 1536)
	}
	return c
}

// slopedScores returns scores that decrease with the neuron's index, faster in deeper layers.
func slopedScores(c models.Config) [][]float32 {
	scores := make([][]float32, c.Layers)
	for layer := range scores {
		scores[layer] = make([]float32, c.FFN[layer])
		for neuron := range scores[layer] {
			scores[layer][neuron] = float32(math.Exp(-float64(neuron) * float64(layer+1) / 3000))
		}
	}
	return scores
}

func TestUniformWidths(t *testing.T) {
	c := smolLM2()
	tests := []struct {
		ratio   float64
		width   int
		reached float64
	}{
		{0, 1536, 0}, {0.01, 1472, 0.0247}, {0.1, 1280, 0.0987}, {0.2, 1024, 0.1974}, {0.3, 768, 0.2960},
		{0.4, 512, 0.3947}, {0.5, 224, 0.5058}, {0.5795, 32, 0.5797},
	}
	tests[1].width, tests[1].reached = 1504, 0.0123
	for _, test := range tests {
		plan, err := MakePlan(c, slopedScores(c), test.ratio, Uniform)
		if err != nil {
			t.Errorf("MakePlan(%g): %v", test.ratio, err)
			continue
		}
		for layer, width := range plan.Widths() {
			if width != test.width {
				t.Errorf("ratio %g: width of layer %d = %d, want %d", test.ratio, layer, width, test.width)
			}
		}
		if math.Abs(plan.RatioReached-test.reached) > 1e-3 || plan.RatioAsked != test.ratio {
			t.Errorf("ratio %g: asked %g, reached %g, want %g", test.ratio, plan.RatioAsked, plan.RatioReached, test.reached)
		}
		if err := plan.Check(c); err != nil {
			t.Errorf("ratio %g: %v", test.ratio, err)
		}
	}
}

// With a K-quant's block as step, every width of the global budget is a multiple of the block, and the total is within half a
// step.
func TestStepsOfGlobalWidths(t *testing.T) {
	c := smolLM2()
	for layer := range c.FFN {
		c.FFN[layer] = 4864
	}
	half := 128 * 3 * 576 / float64(c.Parameters(nil))
	for _, ratio := range []float64{0.05, 0.2, 0.4, 0.7} {
		plan, err := MakePlanInSteps(c, slopedScores(c), ratio, Global, 256)
		if err != nil {
			t.Fatal(err)
		}
		differ := map[int]bool{}
		for layer, width := range plan.Widths() {
			if differ[width] = true; width%256 != 0 || width < 256 {
				t.Errorf("ratio %g: width of layer %d is %d, want a multiple of 256", ratio, layer, width)
			}
		}
		if math.Abs(plan.RatioReached-ratio) > half || len(differ) < 2 {
			t.Errorf("ratio %g: reached %g with %d widths", ratio, plan.RatioReached, len(differ))
		}
	}
	fine, err := MakePlan(c, slopedScores(c), 0.2, Uniform)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := MakePlanInSteps(c, slopedScores(c), 0.2, Uniform, 256)
	if diff := cmp.Diff(fine, steps); err != nil || diff != "" {
		t.Errorf("the uniform budget uses the step: %v, %s", err, diff)
	}
}

func TestGlobalWidths(t *testing.T) {
	c := smolLM2()
	half := 16 * 3 * 576 / float64(c.Parameters(nil)) // half a block of neurons
	for _, ratio := range []float64{0, 0.01, 0.05, 0.2, 0.4, 0.54} {
		plan, err := MakePlan(c, slopedScores(c), ratio, Global)
		if err != nil {
			t.Errorf("MakePlan(%g): %v", ratio, err)
			continue
		}
		last := math.MaxInt
		for layer, width := range plan.Widths() {
			if width%32 != 0 || width < 128 || width > 1536 {
				t.Errorf("ratio %g: width of layer %d = %d", ratio, layer, width)
			}
			if width > last {
				t.Errorf("ratio %g: layer %d keeps more than the one before although its scores fall faster", ratio, layer)
			}
			last = width
		}
		if math.Abs(plan.RatioReached-ratio) > half*1.01 {
			t.Errorf("ratio %g: reached %g, want within half a block", ratio, plan.RatioReached)
		}
	}
}

func TestMakePlanRefuses(t *testing.T) {
	c := smolLM2()
	for _, budget := range []Budget{Uniform, Global} {
		for _, ratio := range []float64{math.NaN(), -0.1, 1, 2, 0.59, 0.9999, math.Inf(1)} {
			_, err := MakePlan(c, slopedScores(c), ratio, budget)
			var refused *RatioError
			if !errors.As(err, &refused) {
				t.Fatalf("MakePlan(%g, %s) error = %v, want a *RatioError", ratio, budget, err)
			}
			if refused.Largest > 0 {
				if _, err := MakePlan(c, slopedScores(c), math.Floor(refused.Largest*1000)/1000, budget); err != nil {
					t.Errorf("the largest ratio of %s does not work: %v", budget, err)
				}
			}
		}
	}
	scores := slopedScores(c)
	scores[3][4] = float32(math.NaN())
	if _, err := MakePlan(c, scores, 0.2, Uniform); !errors.Is(err, ErrNotFinite) {
		t.Errorf("MakePlan with a NaN score: %v, want ErrNotFinite", err)
	}
	if _, err := MakePlan(c, scores[1:], 0.2, Uniform); err == nil {
		t.Error("MakePlan accepted scores of too few layers")
	}
	if _, err := MakePlan(c, slopedScores(c), 0.2, "other"); err == nil {
		t.Error("MakePlan accepted an unknown budget")
	}
}

func TestSelect(t *testing.T) {
	tests := []struct {
		scores []float32
		k      int
		want   []int
	}{
		{[]float32{1, 3, 2}, 2, []int{1, 2}},
		{[]float32{5, 5, 5, 5}, 2, []int{0, 1}}, // ties go to the lower index
		{[]float32{0, 1, 0, 1}, 3, []int{0, 1, 3}},
		{[]float32{1, 2}, 5, []int{0, 1}},
		{[]float32{1, 2}, 0, []int{}},
	}
	for _, test := range tests {
		if got := Select(test.scores, test.k); !cmp.Equal(got, test.want) {
			t.Errorf("Select(%v, %d) = %v, want %v", test.scores, test.k, got, test.want)
		}
	}
}

func TestSliverWidth(t *testing.T) {
	for width, want := range map[int]int{1536: 1497, 40: 39, 8192: 7987, 1: 1, 2: 1} {
		if got := DefaultRecipe().sliverWidth(width); got != want {
			t.Errorf("sliverWidth(%d) = %d, want %d", width, got, want)
		}
	}
}

func TestPlanEncoding(t *testing.T) {
	c := smolLM2()
	for _, ratio := range []float64{0, 0.2, 0.5} {
		plan, err := MakePlan(c, slopedScores(c), ratio, Global)
		if err != nil {
			t.Fatal(err)
		}
		data := plan.Encode()
		if len(data) > 6000 {
			t.Errorf("plan has %d bytes, want about one bit per neuron", len(data))
		}
		decoded, err := DecodePlan(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plan, decoded); diff != "" {
			t.Errorf("decoded plan differs (-before +after):\n%s", diff)
		}
		for cut := range data {
			if _, err := DecodePlan(data[:cut]); !errors.Is(err, ErrPlanFormat) {
				t.Fatalf("DecodePlan of the first %d bytes: %v, want ErrPlanFormat", cut, err)
			}
		}
	}
}

func FuzzDecodePlan(f *testing.F) {
	plan := &Plan{Kept: [][]int{{0, 2}, {8}}, Dense: []int{3, 9}, RatioAsked: 0.5, RatioReached: 0.4}
	f.Add(plan.Encode())
	f.Add([]byte(planMagic))
	f.Add(append(plan.Encode(), 0))
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, err := DecodePlan(data)
		if err != nil {
			if !errors.Is(err, ErrPlanFormat) {
				t.Fatalf("error %v does not wrap ErrPlanFormat", err)
			}
			return
		}
		if !bytes.Equal(plan.Encode(), data) {
			t.Fatal("a decoded plan encodes to other bytes")
		}
	})
}

func TestRecipe(t *testing.T) {
	recipe := DefaultRecipe()
	if err := recipe.Validate(); err != nil {
		t.Fatal(err)
	}
	const want = `v1 criterion=sdm alpha=0.4 temperature=0.2 sliver_keep=0.975 calibration="" tokens=0 seed=0`
	if recipe.String() != want {
		t.Errorf("String() = %q, want %q", recipe, want)
	}
	other := recipe
	other.Seed = 1
	if recipe.Digest() == other.Digest() {
		t.Error("recipes with different seeds have one digest")
	}
	other = recipe
	other.Precision = "bf16"
	if recipe.Digest() == other.Digest() {
		t.Error("recipes with different precisions have one digest")
	}
	bad := Recipe{Criterion: "x", Alpha: math.NaN(), Temperature: 0, SliverKeep: 1, Tokens: -1, Precision: "fp8"}
	err := bad.Validate()
	if err == nil {
		t.Fatal("Validate accepted a recipe with six faults")
	}
	for _, field := range []string{"criterion", "alpha", "temperature", "sliver_keep", "tokens", "precision"} {
		if !bytes.Contains([]byte(err.Error()), []byte(field)) {
			t.Errorf("Validate does not name %s: %v", field, err)
		}
	}
}
