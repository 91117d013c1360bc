//go:build cgo

package prune

import (
	"testing"

	"prunellm/models/llama"
)

// Activations in bfloat16 come back from the file as they were.
func TestRefitWithNarrowStatesOnDisk(t *testing.T) {
	refitWithStatesOnDisk(t, pluginBackend(t), llama.BFloat16, 1e-2, manySequences(6, 1), 1)
}
