package prune

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/backends"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
	"prunellm/models/llama"
)

// ErrNotFinite is wrapped when a loss, a score or a refitted matrix has NaN or infinity. The model's weights are then damaged.
var ErrNotFinite = errors.New("not a finite number")

// importanceScale multiplies all importances, as in the published method. Only ranks matter; the factor keeps small scores
// above float32's denormals.
const importanceScale = 100

// MaxSequence is the longest calibration sequence in tokens: attention weights grow with its square.
const MaxSequence = 4096

// Scores holds the importances of all neurons, float32[layers][neurons], and the losses of the passes. Plans use
// Stage2.
type Scores struct {
	Stage1 [][]float32 // on the dense model, with cross entropy
	// Stage2 is scored on the sliver-pruned student with the distillation loss; 0 for neurons of the sliver. Criteria
	// without a second stage repeat the first.
	Stage2 [][]float32
	Loss1  []Loss // by sequence; empty for criteria that read no tokens
	Loss2  []Loss // by sequence, for criteria with a second stage
}

// Progress reports how far a long computation is.
type Progress struct {
	Stage string // "stage1", "stage2", "reconstruct", "evaluate"
	Done  int    // completed work of this stage in calibration tokens
	Total int    // calibration tokens of the stage
}

// Score gives every MLP neuron an importance. sequences are calibration tokens, at least two each; lengths may differ.
// progress may be nil. The result depends only on the arguments.
func Score(ctx context.Context, backend backends.Backend, weights models.Weights, sequences [][]int32, recipe Recipe,
	progress func(Progress)) (*Scores, error) {
	scores, _, err := score(ctx, backend, weights, sequences, recipe, false, progress)
	return scores, err
}

// ScoreKeeping is Score before a refit on the same sequences: it also returns the dense model's hidden states, or nil if they
// exceed the backend's memory budget. The caller releases them.
func ScoreKeeping(ctx context.Context, backend backends.Backend, weights models.Weights, sequences [][]int32, recipe Recipe,
	progress func(Progress)) (*Scores, *Hidden, error) {
	return score(ctx, backend, weights, sequences, recipe, true, progress)
}

func score(ctx context.Context, backend backends.Backend, weights models.Weights, sequences [][]int32, recipe Recipe, keep bool,
	progress func(Progress)) (scores *Scores, hidden *Hidden, err error) {
	defer llama.Guard(&err)
	if err := recipe.Validate(); err != nil {
		return nil, nil, err
	}
	config := weights.Config()
	if row, _ := recipe.Criterion.row(); row.weights != nil {
		stage, err := row.weights(ctx, weights)
		if err != nil {
			return nil, nil, err
		}
		return &Scores{Stage1: stage, Stage2: stage}, nil, nil
	}
	if err := checkSequences(config, sequences); err != nil {
		return nil, nil, err
	}
	s, err := newScorer(backend, weights, recipe, llama.BudgetOf(backend).Resident(config))
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	if keep {
		s.hidden = newHidden(config, sequences, s.budget.Kept)
	}
	if scores, err = s.score(ctx, sequences, progress); err != nil {
		s.hidden.Release()
		return nil, nil, err
	}
	return scores, s.hidden, nil
}

// score runs the stages.
func (s *scorer) score(ctx context.Context, sequences [][]int32, progress func(Progress)) (*Scores, error) {
	groups := groupSequences(s.model.Config(), s.budget.States, s.resident, sequences)
	scores := &Scores{}
	s.begin("stage1", sequences, nil, progress)
	for i := range groups {
		if err := s.pass(ctx, &groups[i], nil); err != nil {
			return nil, fmt.Errorf("score stage 1: %w", err)
		}
		scores.Loss1 = append(scores.Loss1, groups[i].losses...)
	}
	scores.Stage1 = s.scores()
	if s.criterion.stages == 1 {
		scores.Stage2 = scores.Stage1
		return scores, nil
	}

	removed := sliver(s.recipe, scores.Stage1)
	s.begin("stage2", sequences, removed, progress)
	for i := range groups {
		if err := s.pass(ctx, &groups[i], removed); err != nil {
			return nil, fmt.Errorf("score stage 2: %w", err)
		}
		scores.Loss2 = append(scores.Loss2, groups[i].losses...)
	}
	scores.Stage2 = s.scores()
	return scores, nil
}

// checkSequences returns an error for the first sequence that Score cannot use.
func checkSequences(config models.Config, sequences [][]int32) error {
	if len(sequences) == 0 {
		return fmt.Errorf("%w: no calibration sequences", llama.ErrTokens)
	}
	for i, tokens := range sequences {
		if len(tokens) < 2 || len(tokens) > MaxSequence {
			return fmt.Errorf("calibration sequence %d: %w: it has %d tokens but must have 2 to %d", i, llama.ErrTokens, len(tokens),
				MaxSequence)
		}
		if err := llama.CheckTokens(config, tokens); err != nil {
			return fmt.Errorf("calibration sequence %d: %w", i, err)
		}
	}
	return nil
}

// sliver returns which neurons the student of stage 2 lacks, bool[layers][neurons].
func sliver(recipe Recipe, stage1 [][]float32) [][]bool {
	removed := make([][]bool, len(stage1))
	for layer, scores := range stage1 {
		removed[layer] = make([]bool, len(scores))
		for _, neuron := range rank(scores)[recipe.sliverWidth(len(scores)):] {
			removed[layer][neuron] = true
		}
	}
	return removed
}

// scorer holds the programs and the running sums of one Score. It belongs to one goroutine.
//
// With resident weights the forward pass keeps the results of its matmuls for the backward pass. This saves a quarter of the
// work, but only few sequences then fit a group. If each group loads the weights again, small groups would cost more than
// recomputing these results.
type scorer struct {
	model     *llama.Model
	head      *llama.Head
	weights   models.Weights
	resident  bool          // weights stay on the device for a stage
	layers    *llama.Layers // of the current stage
	recipe    Recipe
	criterion criterion
	precision llama.Precision
	forward   *llama.LayerProgram // x -> y, and llama.Saved if it is kept
	backward  *llama.LayerProgram // x, dy, and llama.Saved if it is kept -> dx, importance float32[f]
	stage1    *llama.HeadProgram
	stage2    *llama.HeadProgram
	sums      [][]float64 // importance so far, [layers][neurons]
	meter     *meter
	budget    llama.Budget
	hidden    *Hidden // collects the dense model's states; nil: discard them
}

func newScorer(backend backends.Backend, weights models.Weights, recipe Recipe, resident bool) (s *scorer, err error) {
	row, _ := recipe.Criterion.row()
	s = &scorer{
		weights: weights, recipe: recipe, criterion: row, precision: recipe.PrecisionOn(backend), resident: resident, budget: llama.BudgetOf(backend),
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.model, err = llama.New(backend, weights.Config()); err != nil {
		return nil, err
	}
	if s.head, err = s.model.LoadHead(weights, s.precision); err != nil {
		return nil, err
	}
	c := weights.Config()
	s.forward, err = s.model.LayerProgram("forward", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		trace := llama.Forward(c, b, rope, args[0])
		if resident {
			return append([]*Node{trace.Out}, trace.Nodes()...)
		}
		return []*Node{trace.Out}
	})
	if err != nil {
		return nil, err
	}
	s.backward, err = s.model.LayerProgram("backward", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		var saved llama.Saved
		if resident {
			saved = llama.SavedNodes(args[2:])
		}
		trace := llama.Resume(c, b, rope, args[0], saved)
		grads := llama.Backward(c, b, rope, trace, args[1])
		return []*Node{grads.X, row.gradients(b, trace, grads)}
	})
	if err != nil {
		return nil, err
	}
	if s.stage1, err = lossProgram(s.model, lossKind{drawn: row.drawn}); err != nil {
		return nil, err
	}
	s.stage2, err = lossProgram(s.model, lossKind{teacher: true, temperature: recipe.Temperature})
	return s, err
}

func (s *scorer) releaseLayers() {
	if s.layers != nil {
		s.layers.Release()
	}
}

func (s *scorer) close() {
	s.releaseLayers()
	if s.head != nil {
		s.head.Release()
	}
	if s.model != nil {
		s.model.Close()
	}
}

// begin starts a stage: its layers, sums at zero, progress at zero.
func (s *scorer) begin(stage string, sequences [][]int32, removed [][]bool, progress func(Progress)) {
	c := s.model.Config()
	s.releaseLayers()
	s.layers = s.model.Layers(s.weights, s.options(removed), s.resident)
	s.sums = make([][]float64, c.Layers)
	for layer := range s.sums {
		s.sums[layer] = make([]float64, c.FFN[layer])
	}
	total := 0
	for _, tokens := range sequences {
		total += len(tokens)
	}
	s.meter = newMeter(stage, total, 3*c.Layers, progress) // a layer forward is one unit of work, backward two
}

// scores returns the sums as float32.
func (s *scorer) scores() [][]float32 {
	out := make([][]float32, len(s.sums))
	for layer, sums := range s.sums {
		out[layer] = make([]float32, len(sums))
		for neuron, sum := range sums {
			out[layer][neuron] = float32(sum)
		}
	}
	return out
}

// options returns the layer options that disable removed neurons.
func (s *scorer) options(removed [][]bool) func(int) llama.LayerOptions {
	return func(layer int) llama.LayerOptions {
		options := llama.LayerOptions{Narrow: s.precision.Narrow()}
		if removed != nil {
			options.Removed = removed[layer]
		}
		return options
	}
}
