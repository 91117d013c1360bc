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

// recipeVersion changes whenever the scores of the same recipe would change.
const recipeVersion = 1

// maxDigestBytes bounds Recipe.Calibration.
const maxDigestBytes = 256

// Recipe holds everything that determines the scores of a model. Two equal recipes on one model give the same scores.
type Recipe struct {
	Criterion   Criterion `json:"criterion"`
	Alpha       float64   `json:"alpha"`       // weight of the distillation loss, in [0,1]; the rest is cross entropy
	Temperature float64   `json:"temperature"` // divides the teacher's logits only; above 0
	SliverKeep  float64   `json:"sliver_keep"` // share of neurons that the student of stage 2 keeps, in (0,1)
	Calibration string    `json:"calibration"` // digest of the source of the tokens
	Tokens      int       `json:"tokens"`      // total number of calibration tokens
	Seed        uint64    `json:"seed"`        // of self-calibration, and of drawn labels
	// Precision is the precision of matmuls, in the refit as well. Two machines may resolve AutoPrecision differently.
	Precision llama.Precision `json:"precision,omitempty"`
}

// DefaultRecipe is the published setting: alpha 0.4, temperature 0.2, a sliver of 3.9 in 4.
func DefaultRecipe() Recipe {
	return Recipe{Criterion: SDM, Alpha: 0.4, Temperature: 0.2, SliverKeep: 3.9 / 4}
}

// Validate returns an error that lists all fields out of range.
func (r Recipe) Validate() error {
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("recipe: "+format, args...))
		}
	}
	if err := r.Criterion.Validate(); err != nil {
		fault(false, "%w", err)
	}
	fault(r.Alpha >= 0 && r.Alpha <= 1, "alpha is %g but must be from 0 to 1", r.Alpha)
	fault(r.Temperature >= 0.01 && r.Temperature <= 100, "temperature is %g but must be from 0.01 to 100", r.Temperature)
	fault(r.SliverKeep > 0 && r.SliverKeep < 1, "sliver_keep is %g but must be above 0 and below 1", r.SliverKeep)
	fault(len(r.Calibration) <= maxDigestBytes, "calibration has %d bytes; the limit is %d", len(r.Calibration),
		maxDigestBytes)
	if err := r.Precision.Validate(); err != nil {
		fault(false, "%w", err)
	}
	fault(r.Tokens >= 0, "tokens is %d but must not be negative", r.Tokens)
	return errors.Join(faults...)
}

// String returns the canonical form: recipes are equal if and only if their strings are.
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

// Digest returns the SHA-256 of the canonical form in hex.
func (r Recipe) Digest() string {
	sum := sha256.Sum256([]byte(r.String()))
	return hex.EncodeToString(sum[:])
}

// PrecisionOn returns the precision of this recipe's matmuls on a backend: the recipe's own or, for AutoPrecision, the
// fastest that does not change the criterion's ranking.
func (r Recipe) PrecisionOn(backend backends.Backend) llama.Precision {
	return r.Precision.On(backend, !r.Criterion.MixedPrecision())
}

// sliverWidth returns the number of neurons of a layer that the student keeps: floor(width * SliverKeep), at least one.
func (r Recipe) sliverWidth(width int) int {
	const rounding = 1e-9 // 40 * 0.975 must be 39
	return max(1, int(math.Floor(float64(width)*r.SliverKeep+rounding)))
}
