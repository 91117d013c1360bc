package ggmlquant_test

import (
	"fmt"

	"prunellm/convert/ggmlquant"
	"prunellm/models/gguf"
)

func Example() {
	values := make([]float32, 32)
	values[0], values[1] = 127, -64
	raw, err := ggmlquant.Quantize(gguf.Q8_0, values, 32)
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := ggmlquant.Dequantize(gguf.Q8_0, raw, 32)
	fmt.Println(len(raw), back[:3], err)
	// Output: 34 [127 -64 0] <nil>
}
