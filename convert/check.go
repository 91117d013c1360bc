package convert

import (
	"context"
	"fmt"
	"time"

	"prunellm/models"
	"prunellm/models/gguf"
)

// maxCheckTime bounds how long Check searches weights: a start must not wait for all of a very large model.
const maxCheckTime = 3 * time.Second

// loadAlignment is what ggml asks of the address of a tensor, and so of its place in a file that is mapped into memory.
const loadAlignment = 32

// Check looks for what would make llama.cpp stop or a model compute nonsense although its keys and tensors fit together:
// tensors that do not follow each other, and weights that are NaN or infinite. The error is the first fault of those
// that Inspect would report. Searching weights ends after a few seconds: what it missed in a very large model shows
// when its logits are not finite.
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
