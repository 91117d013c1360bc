package llama

import (
	"github.com/gomlx/gomlx/backends"

	"prunellm/models"
)

// Budget is how much memory work on a backend plans with.
type Budget struct {
	// Weights is the size up to which the weights of all layers, as float32, may stay on the device, in bytes. Larger models are
	// loaded layer by layer for each visit, so that memory does not grow with depth.
	Weights int64
	// States bounds what one group of sequences leaves of its forward pass for the backward pass, in bytes.
	States int64
	// Kept bounds the dense model's hidden states that stay from the scores to a refit, in bytes.
	Kept int64
	// Rows and Logits bound the tokens whose logits are held at once, and the values that these are.
	Rows, Logits int
	// Together bounds the tokens of several sequences that run through a layer at once in a forward pass. Longer sequences run alone.
	Together int
	// Doubles says that products of float32 are rounded on the way in, as the tensor cores of a GPU do, so that sums which must be
	// exact are taken in float64, which such a device is fast in.
	Doubles bool
	// Workers is how many programs are under way at a time: with more than one the device computes while results of others are fetched.
	Workers int
}

// hostBudget is for backends that compute in the machine's own memory, beside a server.
var hostBudget = Budget{Weights: 512 << 20, States: 256 << 20, Kept: 640 << 20, Together: 1024, Rows: 256, Logits: 16 << 20, Workers: 1}

// Shares of a device's free memory. What programs hold while they run, their results and the allocator's waste take the rest.
const (
	weightsShare  = 3
	statesShare   = 4
	logitsShare   = 64 // some six arrays of this size are alive in the loss
	deviceRows    = 2048
	deviceWorkers = 3
)

// ownMemory is implemented by backends of devices with memory of their own.
type ownMemory interface {
	// FreeMemory is what was free when the backend was opened, in bytes.
	FreeMemory() int64
}

// BudgetOf is what a backend's memory allows.
func BudgetOf(backend backends.Backend) Budget {
	device, ok := backend.(ownMemory)
	if !ok {
		return hostBudget
	}
	free := device.FreeMemory()
	return Budget{
		Weights: max(hostBudget.Weights, free/weightsShare), States: max(hostBudget.States, free/statesShare),
		Kept: max(hostBudget.Kept, free/statesShare),
		Rows: deviceRows, Logits: max(hostBudget.Logits, int(free/logitsShare/4)), Doubles: true,
		Workers: deviceWorkers,
	}
}

// Resident tells whether a model's layers are small enough to stay on the device between visits.
func (b Budget) Resident(c models.Config) bool {
	values := int64(0)
	for layer := range c.Layers {
		for _, field := range blockFields(c) {
			size := int64(1)
			for _, d := range field.shape(c, c.FFN[layer]) {
				size *= int64(d)
			}
			values += size
		}
	}
	return 4*values <= b.Weights
}

// HeadChunk is the number of tokens whose logits are held at once.
func (b Budget) HeadChunk(c models.Config) int {
	chunk := b.Rows
	for chunk > 16 && chunk*c.VocabSize > b.Logits {
		chunk /= 2
	}
	return chunk
}
