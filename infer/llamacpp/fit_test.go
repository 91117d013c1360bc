package llamacpp

import (
	"testing"

	"prunellm/internal/tinymodel"
)

// The context is the one that the model was trained with, halved until it fits, but never below leastFit.
func TestFitContext(t *testing.T) {
	path := tiny(t, tinymodel.Options{Context: 1 << 17})
	opts := Options{Sequences: 4}
	need := func(size int) int64 {
		opts := opts
		opts.ContextSize = size
		bytes, err := Need(path, opts)
		if err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	for name, test := range map[string]struct {
		trained   int
		available int64
		want      int
	}{
		"all":                {1 << 17, need(1 << 17), 1 << 17},
		"a byte less":        {1 << 17, need(1<<17) - 1, 1 << 16},
		"far less":           {1 << 17, need(20_000), 1 << 14},
		"nothing":            {1 << 17, 0, 4096},
		"unknown":            {1 << 17, -1, 1 << 17},
		"trained for little": {512, 0, 512},
		"beyond the limit":   {MaxContext, -1, MaxContext / 4},
	} {
		if got, err := FitContext(path, opts, test.trained, test.available); err != nil || got != test.want {
			t.Errorf("%s: FitContext = %d, %v, want %d", name, got, err, test.want)
		}
	}
	if _, err := FitContext(path+".missing", opts, 1<<17, 0); err == nil {
		t.Error("a file that is not there fits")
	}
}
