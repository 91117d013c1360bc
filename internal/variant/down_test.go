package variant_test

import (
	"path/filepath"
	"slices"
	"testing"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/prune"
)

// Layers before the first one that loses neurons keep the source's bytes, even if the packer has different ones.
func TestUnpackDownLeavesUntouchedLayers(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{FFN: []int{64, 64}})
	config := model.Config()
	plan := &prune.Plan{Dense: []int{64, 64}, Kept: [][]int{make([]int, 64), make([]int, 32)}}
	for _, kept := range plan.Kept {
		for i := range kept {
			kept[i] = i
		}
	}
	packer := variant.NewDownPacker(model, convert.Keep, convert.Codec{})
	for layer, width := range plan.Widths() {
		values := make([]float32, config.HiddenSize*width)
		values[0] = 3
		if rounded, err := packer.Add(layer, values); err != nil || !slices.Equal(rounded, values) {
			t.Fatalf("a float32 matrix is changed by packing, %v", err)
		}
	}
	packed, err := packer.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	unpack, err := variant.UnpackDown(packed, config, plan, convert.Codec{})
	if err != nil {
		t.Fatal(err)
	}
	if values, err := unpack(0); err != nil || values != nil {
		t.Errorf("an untouched layer gives %d values, %v", len(values), err)
	}
	if values, err := unpack(1); err != nil || len(values) != 32*config.HiddenSize || values[0] != 3 {
		t.Errorf("a layer that lost neurons gives %d values, %v", len(values), err)
	}
	out := filepath.Join(t.TempDir(), "slim.gguf")
	if _, err := convert.Slim(t.Context(), model, out, convert.Options{Kept: plan.Kept, LoadDown: unpack}); err != nil {
		t.Fatal(err)
	}
	slim, err := models.OpenGGUF(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer slim.Close()
	want, _, err := model.Tensor(models.FFNDown, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := slim.Tensor(models.FFNDown, 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("the untouched layer differs in the file, %v", err)
	}
	if got, _, err := slim.Tensor(models.FFNDown, 1); err != nil || got[0] != 3 {
		t.Errorf("the refitted layer is not in the file, %v", err)
	}
	if weights, err := prune.Pruned(model, plan, [][]float32{nil, make([]float32, 32*config.HiddenSize)}); err != nil {
		t.Error(err)
	} else if got, _, err := weights.Tensor(models.FFNDown, 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("the untouched layer differs in the model to train, %v", err)
	}
}
