package convert_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/models"
)

// Keep a third of the neurons, as float16.
func ExampleSlim() {
	dir, err := os.MkdirTemp("", "slim")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	dense := filepath.Join(dir, "dense.gguf")
	if err := tinymodel.Write(dense, tinymodel.Options{}); err != nil {
		fmt.Println(err)
		return
	}
	model, err := models.OpenGGUF(dense, nil) // a quantized model needs ggmlquant.Dequantize instead of nil
	if err != nil {
		fmt.Println(err)
		return
	}
	defer model.Close()
	kept := make([]int, 32)
	for i := range kept {
		kept[i] = 3 * i
	}
	result, err := convert.Slim(context.Background(), model, filepath.Join(dir, "slim.gguf"), convert.Options{
		Kept: [][]int{kept, kept}, FileType: "f16", Provenance: convert.Provenance{Ratio: 0.3},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Config.Architecture, result.Config.FFN)
	fmt.Printf("%.2f of the parameters removed, %.2f of the MLPs kept\n", result.Provenance.RatioReached, result.Provenance.KeptMLP)
	// Output:
	// llama [32 32]
	// 0.30 of the parameters removed, 0.33 of the MLPs kept
}
