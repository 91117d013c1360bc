package prune

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"prunellm/models"
)

// Budget decides how many neurons each layer keeps.
type Budget string

// The budgets. Uniform gives all layers one width; Global ranks neurons over all layers, so widths differ.
const (
	Uniform Budget = "uniform"
	Global  Budget = "global"
)

// WidthStep divides every kept width. It is the block size of 4- and 8-bit quantization.
const WidthStep = 32

// globalFloorShare is the smallest share of its neurons that a layer keeps under the global budget (128 of 1536). The other
// layers cannot compensate for a layer without neurons.
const globalFloorShare = 1.0 / 12

// RatioError reports a ratio that is out of reach.
type RatioError struct {
	Ratio   float64
	Largest float64 // the largest ratio that works
	Budget  Budget
}

// Error implements error.
func (e *RatioError) Error() string {
	if !(e.Ratio >= 0 && e.Ratio < 1) {
		return fmt.Sprintf("ratio is %g but must be at least 0 and below 1", e.Ratio)
	}
	return fmt.Sprintf("ratio %g leaves too few MLP neurons; for this model the largest ratio with budget %s is %g",
		e.Ratio, e.Budget, math.Floor(e.Largest*1000)/1000)
}

// MakePlan chooses the neurons to keep when a ratio of all parameters is removed. scores is float32[layers][neurons].
// It is pure: the same arguments give the same plan.
func MakePlan(config models.Config, scores [][]float32, ratio float64, budget Budget) (*Plan, error) {
	return MakePlanInSteps(config, scores, ratio, budget, WidthStep)
}

// MakePlanInSteps is MakePlan with another step for the widths of the global budget: the block size of the type that stores
// down, a multiple of WidthStep. The uniform budget keeps WidthStep, because one large step in all layers would miss most
// ratios by far.
func MakePlanInSteps(config models.Config, scores [][]float32, ratio float64, budget Budget, step int) (*Plan, error) {
	if !(ratio >= 0 && ratio < 1) {
		return nil, &RatioError{Ratio: ratio, Budget: budget}
	}
	if err := checkScores(config, scores); err != nil {
		return nil, err
	}
	var widths []int
	var err error
	switch budget {
	case Uniform:
		widths, err = uniformWidths(config, ratio)
	case Global:
		widths, err = globalWidths(config, scores, ratio, step)
	default:
		return nil, fmt.Errorf("budget is %q but must be uniform or global", budget)
	}
	if err != nil {
		return nil, err
	}
	plan := &Plan{Dense: slices.Clone(config.FFN), RatioAsked: ratio, RatioReached: reached(config, widths)}
	for layer, width := range widths {
		plan.Kept = append(plan.Kept, Select(scores[layer], width))
	}
	return plan, nil
}

// checkScores returns an error if scores do not fit the model or are NaN.
func checkScores(config models.Config, scores [][]float32) error {
	if len(scores) != config.Layers {
		return fmt.Errorf("scores have %d layers but the model has %d", len(scores), config.Layers)
	}
	for layer, row := range scores {
		if len(row) != config.FFN[layer] {
			return fmt.Errorf("%d scores for the %d neurons of layer %d", len(row), config.FFN[layer], layer)
		}
		if !allFinite(row) {
			return fmt.Errorf("scores of layer %d: %w", layer, ErrNotFinite)
		}
	}
	return nil
}

// reached returns the share of all parameters that widths remove.
func reached(config models.Config, widths []int) float64 {
	dense := config.Parameters(nil)
	return float64(dense-config.Parameters(widths)) / float64(dense)
}

// uniformWidths returns the same width for every layer: the multiple of 32 (of two equally near, the multiple of 64)
// whose ratio is nearest to the requested one. A narrower layer keeps its width.
func uniformWidths(config models.Config, ratio float64) ([]int, error) {
	if ratio == 0 {
		return slices.Clone(config.FFN), nil
	}
	at := func(width int) []int {
		widths := make([]int, config.Layers)
		for layer, dense := range config.FFN {
			widths[layer] = min(width, dense)
		}
		return widths
	}
	if largest := reached(config, at(WidthStep)); ratio > largest {
		return nil, &RatioError{Ratio: ratio, Largest: largest, Budget: Uniform}
	}
	best, bestGap := WidthStep, math.Inf(1)
	for width := WidthStep; width < slices.Max(config.FFN)+WidthStep; width += WidthStep {
		gap := math.Abs(reached(config, at(width)) - ratio)
		if gap < bestGap || gap == bestGap && width%(2*WidthStep) == 0 {
			best, bestGap = width, gap
		}
	}
	return at(best), nil
}

// block is up to a step of consecutive neurons in a layer's ranking.
type block struct {
	layer, index, size int
	value              float64 // mean score
}

// globalWidths ranks blocks of neurons over all layers. Within a layer the blocks' values descend, so that the best blocks of
// all layers are a valid choice. The total is within half a block of the requested ratio.
func globalWidths(config models.Config, scores [][]float32, ratio float64, step int) ([]int, error) {
	if ratio == 0 {
		return slices.Clone(config.FFN), nil
	}
	widths := make([]int, config.Layers)
	kept := 0
	for layer, dense := range config.FFN {
		widths[layer] = min(dense, max(step, ceilTo(int(globalFloorShare*float64(dense)), step)))
		kept += widths[layer]
	}
	if largest := reached(config, widths); ratio > largest {
		return nil, &RatioError{Ratio: ratio, Largest: largest, Budget: Global}
	}
	perNeuron := 3 * float64(config.HiddenSize)
	goal := float64(config.MLPParameters())/perNeuron - ratio*float64(config.Parameters(nil))/perNeuron
	for _, b := range rankBlocks(config, scores, widths, step) {
		if math.Abs(float64(kept+b.size)-goal) >= math.Abs(float64(kept)-goal) {
			break
		}
		widths[b.layer] += b.size
		kept += b.size
	}
	return widths, nil
}

// rankBlocks cuts each layer's ranking, after its floor, into blocks, and sorts them by descending value.
func rankBlocks(config models.Config, scores [][]float32, floors []int, step int) []block {
	var blocks []block
	for layer := range config.FFN {
		order := rank(scores[layer])
		for from := floors[layer]; from < len(order); from += step {
			b := block{layer: layer, index: from, size: min(step, len(order)-from)}
			for _, neuron := range order[from : from+b.size] {
				b.value += float64(scores[layer][neuron])
			}
			b.value /= float64(b.size)
			blocks = append(blocks, b)
		}
	}
	slices.SortFunc(blocks, func(a, b block) int {
		return cmp.Or(-cmp.Compare(a.value, b.value), cmp.Compare(a.index, b.index), cmp.Compare(a.layer, b.layer))
	})
	return blocks
}

func ceilTo(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }
