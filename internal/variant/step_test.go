package variant

import (
	"testing"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
	"prunellm/prune"
)

// zeros is a quantizer for tests that do not read the values.
func zeros(kind gguf.Type, values []float32, _ int) ([]byte, error) {
	size, err := kind.Size(int64(len(values)))
	return make([]byte, size), err
}

// The step is the block size of K-quants if down is stored in one and the layers are wide enough.
func TestWidthStep(t *testing.T) {
	for name, test := range map[string]struct {
		kind     gguf.Type
		width    int
		fileType convert.FileType
		want     int
	}{
		"k-quants":      {gguf.Q4_K, 2048, convert.Keep, 256},
		"one step less": {gguf.Q4_K, 1792, convert.Keep, 32},
		"no multiple":   {gguf.F16, 2080, "q4_k", 32},
		"as q8_0":       {gguf.Q4_K, 2048, "q8_0", 32},
		"as q6_k":       {gguf.F16, 2048, "q6_k", 256},
		"blocks of 32":  {gguf.Q8_0, 2048, convert.Keep, 32},
		"floats":        {gguf.F16, 2048, convert.Keep, 32},
	} {
		t.Run(name, func(t *testing.T) {
			options := tinymodel.Options{Hidden: 256, FFN: []int{test.width, test.width}, Type: test.kind, Quantize: zeros}
			model := tinymodel.Open(t, options)
			if got := WidthStep(model, test.fileType); got != test.want {
				t.Errorf("WidthStep = %d, want %d", got, test.want)
			}
		})
	}
}

// Plans with another step have their own keys, from which PlanRatio reads the ratio.
func TestPlanKeyHasStep(t *testing.T) {
	spec := Spec{Ratio: 0.2, Budget: prune.Global}
	coarse := spec
	coarse.Step = 256
	plain, stepped := keys{model: "m", spec: spec}.plan(), keys{model: "m", spec: coarse}.plan()
	if plain == stepped {
		t.Errorf("both plans have the key %+v", plain)
	}
	uniform := coarse
	uniform.Budget = prune.Uniform
	if key := (keys{model: "m", spec: uniform}).plan(); key.Detail != "0.2-uniform" {
		t.Errorf("the key for the uniform budget contains a step: %+v", key)
	}
	for _, test := range []struct {
		spec Spec
		key  store.Key
		ok   bool
	}{{spec, plain, true}, {coarse, stepped, true}, {spec, stepped, false}, {coarse, plain, false}} {
		if ratio, ok := test.spec.PlanRatio(test.key); ok != test.ok || ok && ratio != 0.2 {
			t.Errorf("step %d: PlanRatio(%q) = %v, %t, want %t", test.spec.Step, test.key.Detail, ratio, ok, test.ok)
		}
	}
}
