package variant

import (
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/prune"
)

// The model reaches the largest ratio. A slightly larger one gives an error.
func TestLargestRatio(t *testing.T) {
	config := tinymodel.Options{FFN: []int{512, 512}}.Config()
	for _, budget := range []prune.Budget{prune.Uniform, prune.Global} {
		largest := LargestRatio(config, Spec{Budget: budget})
		if largest <= 0 || largest >= 1 {
			t.Errorf("LargestRatio(%s) = %v, want a ratio", budget, largest)
		}
		if err := CheckRatio(config, Spec{Ratio: largest, Budget: budget}); err != nil {
			t.Errorf("CheckRatio(%v) = %v, want no error", largest, err)
		}
		if err := CheckRatio(config, Spec{Ratio: largest + 0.002, Budget: budget}); err == nil {
			t.Errorf("CheckRatio(%v) gives no error", largest+0.002)
		}
	}
}
