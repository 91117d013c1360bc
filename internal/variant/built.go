package variant

import "strconv"

// The stages through which a server improves a variant. They name the file that answers; the type Stage names the steps of
// making one file.
const (
	Dense   = "dense"   // the original model, possibly in another file type
	Quick   = "quick"   // pruned with a part of the recipe's text
	Refined = "refined" // pruned with the recipe
	Healed  = "healed"  // pruned with the recipe, then trained
)

// Built describes a variant whose file an engine can load.
type Built struct {
	Model      string  // model name without a ratio
	Stage      string  // Builder sets Dense, Refined or Healed, internal/improve sets Quick
	Path       string  // GGUF file
	Digest     string  // identifies the file: it depends on the kept neurons, the refit and the file type
	Ratio      float64 // requested share of all parameters
	Reached    float64 // removed share of all parameters
	KeptMLP    float64 // kept share of the MLP parameters
	Widths     []int   // kept MLP neurons of each layer
	Parameters int64   // kept parameters
	Bytes      int64   // file size
	DenseBytes int64   // size of the dense model's file

	Recovery *RecoveryReport // results of recovery training; nil without training
}

// Larger reports whether a pruned variant's file is larger than the dense file, which a file type of more bits can
// cause.
func (b Built) Larger() bool { return b.Ratio > 0 && b.Bytes > b.DenseBytes }

// Name returns the name that requests use: "name@ratio".
func (b Built) Name() string { return Name(b.Model, b.Ratio) }

// Name returns "model@ratio" with the ratio in its shortest decimal form.
func Name(model string, ratio float64) string {
	return model + "@" + strconv.FormatFloat(ratio, 'f', -1, 64)
}
