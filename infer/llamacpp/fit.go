package llamacpp

// leastFit is the smallest context that FitContext returns for a model that was trained with at least as many tokens.
const leastFit = defaultContext

// FitContext returns the number of tokens per sequence for a model's context. It halves the number that the model was trained
// with until the model needs at most available bytes (negative: unknown), but not below 4,096. opts has the number of
// sequences and the batch size.
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
