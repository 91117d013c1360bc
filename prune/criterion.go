package prune

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
	"prunellm/models/llama"
)

// Criterion names a way of scoring neurons: a row of the table in criteria.go.
type Criterion string

// criterion is a row of the table. Exactly one of gradients and weights is set.
type criterion struct {
	name Criterion
	help string // what it measures and when to choose it, one line for --help and the pages

	// stages is the number of passes over the calibration text. 0: the score reads only the weights. 2: the first pass
	// scores the dense model, the second a student that lacks a sliver of each layer, with the distillation loss. Only
	// then do alpha, temperature and sliver_keep have an effect.
	stages int
	// drawn samples the labels of the cross entropy from the dense model's predictions, one per token, with the
	// recipe's seed. Otherwise the label is the text's next token. Only a criterion with one stage may draw.
	drawn bool
	// mixed marks a criterion whose ranking is the same with bfloat16 matmuls. A criterion with a second stage never has
	// it: its scores depend on the sliver, and the sliver depends on the lowest scores of the first stage.
	mixed bool
	// lengthPower is the power of a sequence's length by which its score is multiplied. The loss is a mean over tokens. A
	// power of 1 for a linear score, or 2 for a squared one, therefore gives each token the same weight, whatever the
	// length of its sequence. 0 keeps the mean.
	lengthPower int

	gradients func(*llama.Block, *llama.Trace, *llama.Gradients) *Node               // the score of one sequence, float32[f]
	weights   func(ctx context.Context, weights models.Weights) ([][]float32, error) // float32[layers][f]
}

// row returns a criterion's row of the table, and reports whether there is one.
func (c Criterion) row() (criterion, bool) {
	for _, row := range criteria {
		if row.name == c {
			return row, true
		}
	}
	return criterion{}, false
}

// Criteria returns the names of all criteria in the order of the table.
func Criteria() []Criterion {
	names := make([]Criterion, len(criteria))
	for i, row := range criteria {
		names[i] = row.name
	}
	return names
}

// Validate returns an error, which lists the valid criteria, if the criterion is not in the table.
func (c Criterion) Validate() error {
	if _, ok := c.row(); ok {
		return nil
	}
	var names []string
	for _, name := range Criteria() {
		names = append(names, string(name))
	}
	return fmt.Errorf("criterion %q is unknown; it must be %s", string(c), strings.Join(names, ", "))
}

// Help returns one line: the criterion's measure and when to choose it.
func (c Criterion) Help() string {
	row, _ := c.row()
	return row.help
}

// NeedsTokens reports whether the criterion reads calibration text, and not only the weights.
func (c Criterion) NeedsTokens() bool {
	row, _ := c.row()
	return row.stages > 0
}

// Distills reports whether the criterion uses the distillation loss, and with it alpha, temperature and sliver_keep.
func (c Criterion) Distills() bool {
	row, _ := c.row()
	return row.stages > 1
}

// DrawsLabels reports whether the criterion draws labels from the dense model's predictions, so that the recipe's seed
// has an effect.
func (c Criterion) DrawsLabels() bool {
	row, _ := c.row()
	return row.drawn
}

// MixedPrecision reports whether the criterion's ranking is the same with bfloat16 matmuls.
func (c Criterion) MixedPrecision() bool {
	row, _ := c.row()
	return row.mixed
}

var criterionName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// complete returns an error that lists everything that a row lacks.
func (row criterion) complete() error {
	var faults []error
	fault := func(ok bool, text string) {
		if !ok {
			faults = append(faults, fmt.Errorf("criterion %q: %s", string(row.name), text))
		}
	}
	fault(criterionName.MatchString(string(row.name)), "name must be lower-case letters, digits and hyphens")
	fault(row.help != "" && !strings.ContainsAny(row.help, "\n|"), "help must be one line without |")
	fault(row.stages >= 0 && row.stages <= 2, "stages must be 0, 1 or 2")
	fault(!row.drawn || row.stages == 1, "drawn needs 1 stage")
	fault(row.lengthPower >= 0 && row.lengthPower <= 2, "lengthPower must be 0, 1 or 2")
	fault((row.stages == 0) == (row.weights != nil), "weights must be set for 0 stages, and only for these")
	fault((row.stages > 0) == (row.gradients != nil), "gradients must be set for 1 or 2 stages, and only for these")
	return errors.Join(faults...)
}
