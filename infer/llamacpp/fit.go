package llamacpp

// leastFit is the smallest context that FitContext returns, if the model was trained for as many tokens.
const leastFit = defaultContext

// FitContext returns the number of tokens per sequence for a model's context: those that it was trained for, halved
// until the model takes at most available bytes (negative: unknown), but at least 4,096. opts has the sequences and the
// batch size.
func FitContext(path string, opts Options, trained int, available int64) (int, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return 0, err
	}
	size := min(trained, MaxContext/opts.Sequences)
	for available >= 0 && size > leastFit {
		opts.ContextSize = size
		need, err := Need(path, opts)
		if err != nil {
			return 0, err
		}
		if need <= available {
			break
		}
		size = max(size/2, leastFit)
	}
	return size, nil
}
