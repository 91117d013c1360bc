package convert

import (
	"context"
	"fmt"
	"time"

	"prunellm/models"
	"prunellm/models/gguf"
)

// maxCheckTime bounds how long Check scans weights, so that a very large model does not delay the start.
const maxCheckTime = 3 * time.Second

// loadAlignment is the alignment that ggml requires of a tensor's address. llama.cpp maps files into memory, so it also
// applies to offsets in the file.
const loadAlignment = 32

// Check looks for faults in a file whose keys and tensors are consistent: gaps between tensors, which llama.cpp
// rejects, and weights that are NaN or infinite. It returns the first such fault. It stops scanning weights after
// maxCheckTime; a bad weight that it did not reach shows up as logits that are not finite.
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
		return fmt.Errorf("%s (run prunellm inspect to list every fault)", i.faults[0])
	}
	return nil
}
