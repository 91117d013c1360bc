package convert

import (
	"context"
	"fmt"
	"time"

	"prunellm/models"
	"prunellm/models/gguf"
)

// maxCheckTime bounds how long Check searches weights, so that a start does not wait for all of a very large model.
const maxCheckTime = 3 * time.Second

// loadAlignment is ggml's alignment of a tensor's address, and so of its offset in a file that is mapped into memory.
const loadAlignment = 32

// Check finds faults that make llama.cpp stop or a model compute nonsense although its keys and tensors are consistent: gaps
// between tensors, and weights that are NaN or infinite. It returns the first of the faults that Inspect reports. The
// search of weights ends after a few seconds; a fault in the rest of a very large model shows as logits that are not finite.
func Check(ctx context.Context, f *gguf.File, dequantize models.Dequantizer) error {
	i := &inspection{report: &Report{}}
	i.contiguous(f)
	if len(i.faults) == 0 {
		i.weights(ctx, f, dequantize, maxCheckTime)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(i.faults) > 0 {
		return fmt.Errorf("%s (prunellm inspect says all that is wrong)", i.faults[0])
	}
	return nil
}
