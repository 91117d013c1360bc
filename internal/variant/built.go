package variant

import "strconv"

// Built is a variant with a file that an engine can load.
type Built struct {
	Model      string  // model name without a ratio
	Path       string  // GGUF file
	Digest     string  // the same kept neurons, refit and file type give the same digest
	Ratio      float64 // requested share of all parameters
	Reached    float64 // removed share of all parameters
	KeptMLP    float64 // kept share of the MLP parameters
	Widths     []int   // kept MLP neurons of each layer
	Parameters int64   // kept parameters
	Bytes      int64   // file size
	DenseBytes int64   // size of the dense model's file

	Recovery *RecoveryReport // figures of recovery training; nil without training
}

// Larger reports whether a pruned variant takes more bytes than the dense file, as with a file type of more bits.
func (b Built) Larger() bool { return b.Ratio > 0 && b.Bytes > b.DenseBytes }

// Name returns the name that requests use: "name@ratio".
func (b Built) Name() string { return Name(b.Model, b.Ratio) }

// Name returns "model@ratio" with the ratio in its shortest decimal form.
func Name(model string, ratio float64) string {
	return model + "@" + strconv.FormatFloat(ratio, 'f', -1, 64)
}
