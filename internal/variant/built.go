package variant

import "strconv"

// Built is a variant whose file is ready to be loaded.
type Built struct {
	Model      string  // the model's name, without a ratio
	Path       string  // of the GGUF file
	Digest     string  // identity: the same neurons, refit and file type give the same one
	Ratio      float64 // asked for
	Reached    float64 // share of all parameters removed
	KeptMLP    float64 // share of MLP neurons left
	Widths     []int   // MLP neurons left in each layer
	Parameters int64   // weights left
	Bytes      int64   // of the file
	DenseBytes int64   // of the dense model's file as it came

	Recovery *RecoveryReport // what training has gained; nil: it was not trained
}

// Larger reports whether a pruned variant takes more bytes than the file that it was made of, as with a file type of more bits.
func (b Built) Larger() bool { return b.Ratio > 0 && b.Bytes > b.DenseBytes }

// Name is how the variant is asked for: "name@ratio".
func (b Built) Name() string { return Name(b.Model, b.Ratio) }

// Name joins a model's name and a ratio in its shortest decimal form.
func Name(model string, ratio float64) string {
	return model + "@" + strconv.FormatFloat(ratio, 'f', -1, 64)
}
