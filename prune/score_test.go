package prune_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/google/go-cmp/cmp"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// goBackend returns gomlx's pure-Go backend: fast enough for a tiny model, and it needs no plugin.
func goBackend(t testing.TB) backends.Backend {
	t.Helper()
	backend, err := simplego.New("ops_sequential") // the default hangs with few cores
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// changed is a model with some changed tensors.
type changed struct {
	models.Weights
	change func(role models.Role, layer int, values []float32, shape []int)
}

func (c changed) Tensor(role models.Role, layer int) ([]float32, []int, error) {
	values, shape, err := c.Weights.Tensor(role, layer)
	if err == nil {
		c.change(role, layer, values, shape)
	}
	return values, shape, err
}

var tinySequences = [][]int32{
	{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120},
	{5, 6, 7, 8, 9, 10, 11},
	{100, 3},
}

func recipeFor(criterion prune.Criterion) prune.Recipe {
	recipe := prune.DefaultRecipe()
	recipe.Criterion = criterion
	return recipe
}

// TestScoreIsTheGradientOfTheLoss checks a whole score, from the loss through all layers, against finite differences. Scaling a
// neuron's column of down by 1+h changes the loss by h times the sum over tokens of activation * gradient. If only one token
// has an activation gradient, the square of this sum is the Fisher score and its absolute value the Taylor score.
func TestScoreIsTheGradientOfTheLoss(t *testing.T) {
	for _, architecture := range []string{"llama", "gemma3"} {
		t.Run(architecture, func(t *testing.T) { checkScore(t, architecture) })
	}
}

func checkScore(t *testing.T, architecture string) {
	t.Helper()
	model, backend := tinymodel.Open(t, tinymodel.Options{Architecture: architecture, Layers: 1}), goBackend(t)
	// Of two tokens only the first has a target, and in a one-layer model only its own activations affect its logits.
	sequences := [][]int32{{17, 42}}
	score := func(criterion prune.Criterion) []float32 {
		scores, err := prune.Score(t.Context(), backend, model, sequences, recipeFor(criterion), nil)
		if err != nil {
			t.Fatal(err)
		}
		return scores.Stage1[0]
	}
	fisher, taylor := score(prune.Fisher), score(prune.Taylor)
	loss := func(neuron int, factor float32) float64 {
		scaled := changed{model, func(role models.Role, _ int, values []float32, shape []int) {
			if role == models.FFNDown {
				for row := range shape[0] {
					values[row*shape[1]+neuron] *= factor
				}
			}
		}}
		losses, err := prune.CrossEntropy(t.Context(), backend, scaled, sequences, nil)
		if err != nil {
			t.Fatal(err)
		}
		return losses[0]
	}
	const h = 0.05
	for _, neuron := range rankTop(fisher, 5) {
		slope := (loss(neuron, 1+h) - loss(neuron, 1-h)) / (2 * h)
		// The scores carry a factor of 100 and the loss is summed over the two tokens of the sequence.
		for name, pair := range map[string][2]float64{
			"fisher": {float64(fisher[neuron]), 100 * 4 * slope * slope},
			"taylor": {float64(taylor[neuron]), 100 * 2 * math.Abs(slope)},
		} {
			if got, want := pair[0], pair[1]; math.Abs(got-want) > 0.03*want { // float32 losses and a step of 5%
				t.Errorf("neuron %d: %s score %g, finite difference gives %g", neuron, name, got, want)
			}
		}
	}
}

func rankTop(scores []float32, k int) []int { return prune.Select(scores, k) }

func TestDeadNeuron(t *testing.T) {
	const dead = 13
	backend := goBackend(t)
	model := changed{tinymodel.Open(t, tinymodel.Options{}), func(role models.Role, layer int, values []float32, shape []int) {
		if role == models.FFNDown && layer == 1 {
			for row := range shape[0] {
				values[row*shape[1]+dead] = 0
			}
		}
	}}
	for _, criterion := range []prune.Criterion{prune.SDM, prune.Fisher, prune.Taylor} {
		scores, err := prune.Score(t.Context(), backend, model, tinySequences, recipeFor(criterion), nil)
		if err != nil {
			t.Fatal(err)
		}
		if criterion != prune.SDM && scores.Stage1[1][dead] > 0 {
			t.Errorf("%s: a neuron whose down column is zero scores %g in stage 1", criterion, scores.Stage1[1][dead])
		}
		if scores.Stage2[1][dead] != 0 {
			t.Errorf("%s: a neuron whose down column is zero scores %g in stage 2", criterion, scores.Stage2[1][dead])
		}
	}
	plan := keepAll(model.Config())
	plan.Kept[1] = slices.Delete(plan.Kept[1], dead, dead+1)
	pruned, err := prune.Pruned(model, plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameLoss(t, backend, model, pruned)
}

func keepAll(c models.Config) *prune.Plan {
	plan := &prune.Plan{Dense: slices.Clone(c.FFN)}
	for _, width := range c.FFN {
		plan.Kept = append(plan.Kept, llama.Ascending(width))
	}
	return plan
}

// sameLoss requires the same loss of two models on every sequence, to float32 rounding.
func sameLoss(t *testing.T, backend backends.Backend, a, b models.Weights) {
	t.Helper()
	lossesA, err := prune.CrossEntropy(t.Context(), backend, a, tinySequences, nil)
	if err != nil {
		t.Fatal(err)
	}
	lossesB, err := prune.CrossEntropy(t.Context(), backend, b, tinySequences, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range lossesA {
		if math.Abs(lossesA[i]-lossesB[i]) > 1e-5 {
			t.Errorf("sequence %d loses %g and %g", i, lossesA[i], lossesB[i])
		}
	}
}

func TestRatioZeroIsTheIdentity(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	scores, err := prune.Score(t.Context(), goBackend(t), model, nil, recipeFor(prune.Magnitude), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range []prune.Budget{prune.Uniform, prune.Global} {
		plan, err := prune.MakePlan(model.Config(), scores.Stage2, 0, budget)
		if err != nil {
			t.Fatal(err)
		}
		if !plan.Identity() || plan.RatioReached != 0 {
			t.Errorf("%s: plan for ratio 0 keeps %g of the neurons", budget, plan.KeptShare())
		}
		pruned, err := prune.Pruned(model, plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range []models.Role{models.AttnQ, models.FFNGate, models.FFNUp, models.FFNDown} {
			want, shape, err := model.Tensor(role, 1)
			if err != nil {
				t.Fatal(err)
			}
			got, gotShape, err := pruned.Tensor(role, 1)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) || !slices.Equal(gotShape, shape) {
				t.Errorf("%s: tensor %s changed", budget, models.TensorName(role, 1))
			}
		}
	}
}

// TestScoreIsDeterministic requires the same bytes in two runs, and the same scores from sequences of different lengths together
// as from each alone.
func TestScoreIsDeterministic(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	score := func(sequences [][]int32) *prune.Scores {
		scores, err := prune.Score(t.Context(), backend, model, sequences, recipeFor(prune.SDM), nil)
		if err != nil {
			t.Fatal(err)
		}
		return scores
	}
	first, second := score(tinySequences), score(tinySequences)
	if !bytes.Equal(scoreBytes(t, first), scoreBytes(t, second)) {
		t.Error("the same sequences gave different scores")
	}
	sums := make([]float64, len(first.Stage1[0]))
	for _, sequence := range tinySequences {
		for i, value := range score([][]int32{sequence}).Stage1[0] {
			sums[i] += float64(value)
		}
	}
	for i, value := range first.Stage1[0] {
		if math.Abs(float64(value)-sums[i]) > 1e-5*sums[i] {
			t.Fatalf("neuron %d scores %g together and %g alone", i, value, sums[i])
		}
	}
}

func scoreBytes(t *testing.T, scores *prune.Scores) []byte {
	t.Helper()
	var out []byte
	for _, stage := range [][][]float32{scores.Stage1, scores.Stage2} {
		for _, row := range stage {
			var err error
			if out, err = binary.Append(out, binary.LittleEndian, row); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func TestScoreProgress(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	var last prune.Progress
	stages := map[string]int{}
	_, err := prune.Score(t.Context(), goBackend(t), model, tinySequences, recipeFor(prune.SDM), func(p prune.Progress) {
		if p.Stage == last.Stage && p.Done < last.Done || p.Done > p.Total {
			t.Errorf("progress went from %+v to %+v", last, p)
		}
		last, stages[p.Stage] = p, p.Done
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"stage1": 21, "stage2": 21}, stages); diff != "" {
		t.Errorf("tokens at the end of each stage (-want +got):\n%s", diff)
	}
}

func TestScoreRefuses(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	damaged := func(role models.Role, layer int) models.Weights {
		return changed{model, func(r models.Role, l int, values []float32, _ []int) {
			if r == role && l == layer {
				values[len(values)/2] = float32(math.NaN())
			}
		}}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	bad := prune.DefaultRecipe()
	bad.Temperature = 0
	tests := map[string]struct {
		ctx       context.Context
		weights   models.Weights
		sequences [][]int32
		recipe    prune.Recipe
		want      error
		names     string
	}{
		"outside the vocabulary": {t.Context(), model, [][]int32{{1, 1 << 20}}, prune.DefaultRecipe(), llama.ErrTokens, "1048576"},
		"negative token":         {t.Context(), model, [][]int32{{1, -1}}, prune.DefaultRecipe(), llama.ErrTokens, "-1"},
		"one token":              {t.Context(), model, [][]int32{{1, 2}, {1}}, prune.DefaultRecipe(), llama.ErrTokens, "sequence 1"},
		"no sequences":           {t.Context(), model, nil, prune.DefaultRecipe(), llama.ErrTokens, "no calibration"},
		"nan in gate":            {t.Context(), damaged(models.FFNGate, 1), tinySequences, prune.DefaultRecipe(), prune.ErrNotFinite, "layer 1"},
		"nan in attention":       {t.Context(), damaged(models.AttnV, 0), tinySequences, prune.DefaultRecipe(), prune.ErrNotFinite, "layer 0"},
		"nan in magnitude":       {t.Context(), damaged(models.FFNUp, 1), nil, recipeFor(prune.Magnitude), prune.ErrNotFinite, "layer 1"},
		"cancelled":              {cancelled, model, tinySequences, prune.DefaultRecipe(), context.Canceled, ""},
		"recipe":                 {t.Context(), model, tinySequences, bad, nil, "temperature"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := prune.Score(test.ctx, backend, test.weights, test.sequences, test.recipe, nil)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.names) {
				t.Errorf("error = %v, want %v naming %q", err, test.want, test.names)
			}
		})
	}
}

// TestReconstruct requires that the refit brings the pruned model's logits closer to the dense model's, and does not change
// unpruned layers.
func TestReconstruct(t *testing.T) {
	for name, options := range map[string]tinymodel.Options{
		"llama":         {},
		"gemma3":        {Architecture: "gemma3"}, // normalizes what the projection returns
		"gemma3 window": {Architecture: "gemma3", Layers: 6, Window: 16},
	} {
		t.Run(name, func(t *testing.T) { checkReconstruct(t, options) })
	}
}

func checkReconstruct(t *testing.T, options tinymodel.Options) {
	t.Helper()
	model, backend := tinymodel.Open(t, options), goBackend(t)
	var sequences [][]int32
	for i := range 8 {
		var tokens []int32
		for j := range 40 {
			tokens = append(tokens, int32((i*61+j*j*7+j*13)%200+3))
		}
		sequences = append(sequences, tokens)
	}
	scores, err := prune.Score(t.Context(), backend, model, sequences, recipeFor(prune.Fisher), nil)
	if err != nil {
		t.Fatal(err)
	}
	for layer := range scores.Stage1 {
		slices.Reverse(scores.Stage1[layer]) // a bad choice, so that the refit has an effect
	}
	distance := func(weights models.Weights) float64 { return logitDistance(t, backend, model, weights, sequences[:2]) }
	for _, ratio := range []float64{0, 0.15} {
		plan, err := prune.MakePlan(model.Config(), scores.Stage1, ratio, prune.Uniform)
		if err != nil {
			t.Fatal(err)
		}
		down, err := prune.Reconstruct(t.Context(), backend, model, plan, sequences, prune.ReconstructOptions{Ridge: 0.01}, nil)
		if err != nil {
			t.Fatal(err)
		}
		cut, err := prune.Pruned(model, plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		refitted, err := prune.Pruned(model, plan, down)
		if err != nil {
			t.Fatal(err)
		}
		if ratio == 0 {
			sameLoss(t, backend, model, refitted)
			continue
		}
		before, after := distance(cut), distance(refitted)
		if !(after < 0.7*before) {
			t.Errorf("squared distance of the logits is %g before and %g after, want less than 0.7 of it", before, after)
		}
	}
}
