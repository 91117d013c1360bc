//go:build cgo

package prune

import (
	"testing"

	"prunellm/models/llama"
)

// The file stores activations in bfloat16 without loss.
func TestRefitWithNarrowStatesOnDisk(t *testing.T) {
	refitWithStatesOnDisk(t, pluginBackend(t), llama.BFloat16, 1e-2, manySequences(6, 1), 1)
}
