package prune

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/gomlx/gomlx/backends"

	"prunellm/models/llama"
)

// Criterion names a way of scoring neurons.
type Criterion string

// The criteria. Each is a float32 per neuron, larger meaning more important.
const (
	// SDM is the published score: the absolute first-order change of the loss, element by element of the neuron's three
	// weight vectors, averaged over the hidden size.
	SDM Criterion = "sdm"
	// Fisher is the sum over tokens of the squared first-order change of the cross entropy when the neuron's activation
	// is removed: a diagonal Fisher score. It needs no weight gradients and one stage only.
	Fisher Criterion = "fisher"
	// Taylor is the sum over tokens of the absolute first-order change of the cross entropy when the neuron's activation is
	// removed: Fisher without the square, so that a few surprising tokens do not outvote all others. It costs the same, and is
	// better without reconstruction alone (see docs/understand/pruning.md).
	Taylor Criterion = "taylor"
	// FisherSDM is the Fisher score of the second stage's loss: the sliver-pruned student's distillation loss. It takes
	// twice the work of Fisher and ranks a little worse (see docs/understand/pruning.md).
	FisherSDM Criterion = "fisher-sdm"
	// Magnitude is the mean absolute weight of the neuron. It needs no calibration tokens.
	Magnitude Criterion = "magnitude"
)

// recipeVersion changes whenever the same recipe would give other scores.
const recipeVersion = 1

// maxDigestBytes bounds Recipe.Calibration.
const maxDigestBytes = 256

// Recipe is all that decides the scores of a model. Two equal recipes on one model give the same scores.
type Recipe struct {
	Criterion   Criterion `json:"criterion"`
	Alpha       float64   `json:"alpha"`       // weight of the distillation loss, in [0,1]; the rest is cross entropy
	Temperature float64   `json:"temperature"` // divides the teacher's logits only; above 0
	SliverKeep  float64   `json:"sliver_keep"` // share of neurons that the student of stage 2 keeps, in (0,1)
	Calibration string    `json:"calibration"` // digest of where the tokens come from
	Tokens      int       `json:"tokens"`      // calibration tokens in all
	Seed        uint64    `json:"seed"`        // of self-calibration
	// Precision is that of matrix products, in the refit as well. Two machines may take AutoPrecision for different ones.
	Precision llama.Precision `json:"precision,omitempty"`
}

// DefaultRecipe is the published setting: alpha 0.4, temperature 0.2, a sliver of 3.9 in 4.
func DefaultRecipe() Recipe {
	return Recipe{Criterion: SDM, Alpha: 0.4, Temperature: 0.2, SliverKeep: 3.9 / 4}
}

// Validate reports all fields that are out of range.
func (r Recipe) Validate() error {
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("recipe: "+format, args...))
		}
	}
	switch r.Criterion {
	case SDM, Fisher, Taylor, FisherSDM, Magnitude:
	default:
		fault(false, "criterion is %q, want sdm, fisher, taylor, fisher-sdm or magnitude", r.Criterion)
	}
	fault(r.Alpha >= 0 && r.Alpha <= 1, "alpha is %g, want 0 to 1", r.Alpha)
	fault(r.Temperature >= 0.01 && r.Temperature <= 100, "temperature is %g, want 0.01 to 100", r.Temperature)
	fault(r.SliverKeep > 0 && r.SliverKeep < 1, "sliver_keep is %g, want above 0 and below 1", r.SliverKeep)
	fault(len(r.Calibration) <= maxDigestBytes, "calibration has %d bytes, want at most %d", len(r.Calibration),
		maxDigestBytes)
	if err := r.Precision.Validate(); err != nil {
		fault(false, "%w", err)
	}
	fault(r.Tokens >= 0, "tokens is %d, want 0 or more", r.Tokens)
	return errors.Join(faults...)
}

// String is the canonical form: equal recipes and only they have equal strings.
func (r Recipe) String() string {
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	precision := ""
	if r.Precision != llama.AutoPrecision {
		precision = " precision=" + string(r.Precision)
	}
	return fmt.Sprintf("v%d criterion=%s alpha=%s temperature=%s sliver_keep=%s calibration=%q tokens=%d seed=%d",
		recipeVersion, r.Criterion, number(r.Alpha), number(r.Temperature), number(r.SliverKeep), r.Calibration, r.Tokens,
		r.Seed) + precision
}

// Digest is the SHA-256 of the canonical form in hex.
func (r Recipe) Digest() string {
	sum := sha256.Sum256([]byte(r.String()))
	return hex.EncodeToString(sum[:])
}

// stages is the number of passes over the calibration text, and of results that differ.
func (c Criterion) stages() int {
	switch c {
	case Magnitude:
		return 0
	case Fisher, Taylor:
		return 1
	}
	return 2
}

// PrecisionOn is what the products of this recipe are computed in on a backend. A second stage is sensitive: the neurons that the first
// one takes away follow from its lowest scores, and all of the second's scores from those.
func (r Recipe) PrecisionOn(backend backends.Backend) llama.Precision {
	return r.Precision.On(backend, r.Criterion.stages() > 1)
}

// sliverWidth is the number of neurons of a layer that the student keeps: floor(width * SliverKeep), at least one.
func (r Recipe) sliverWidth(width int) int {
	const rounding = 1e-9 // 40 * 0.975 must be 39
	return max(1, int(math.Floor(float64(width)*r.SliverKeep+rounding)))
}
