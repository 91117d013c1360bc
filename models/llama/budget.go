package llama

import (
	"github.com/gomlx/gomlx/backends"

	"prunellm/models"
)

// Budget is the memory that work on a backend plans with.
type Budget struct {
	// Weights is the largest size in bytes, as float32, at which the weights of all layers stay on the device. The layers of a
	// larger model are loaded for each visit, so that memory does not grow with depth.
	Weights int64
	// States bounds the bytes that the forward pass of one group of sequences saves for the backward pass.
	States int64
	// Kept bounds the bytes of the dense model's hidden states that stay from the scores to a refit.
	Kept int64
	// Refit bounds the bytes of the states that are in memory during a layer's refit. Those of longer texts are on disk.
	Refit int64
	// Rows and Logits bound the tokens whose logits are in memory at once, and the number of these logits.
	Rows, Logits int
	// Together bounds the tokens of a batch of sequences in a forward pass. Longer sequences run alone.
	Together int
	// Doubles reports whether the device rounds the factors of float32 matmuls, as the tensor cores of a GPU do. Exact sums
	// then use float64, in which such a device is fast.
	Doubles bool
	// Workers is the number of programs in flight: with more than one, the device computes while others fetch their results.
	Workers int
}

// hostBudget is the budget of backends that compute in the machine's memory, beside a server.
var hostBudget = Budget{Weights: 512 << 20, States: 256 << 20, Kept: 640 << 20, Refit: 1 << 30, Together: 1024, Rows: 256, Logits: 16 << 20, Workers: 1}

// Divisors of a device's free memory. Buffers of running programs, results and the allocator's waste take the rest.
const (
	weightsShare  = 3
	statesShare   = 4
	logitsShare   = 64 // the loss has about six arrays of this size
	deviceRows    = 2048
	deviceWorkers = 3
)

// ownMemory is a backend of a device with its own memory.
type ownMemory interface {
	// FreeMemory returns the bytes that were free when the backend was opened.
	FreeMemory() int64
}

// BudgetOf returns the budget that a backend's memory allows.
func BudgetOf(backend backends.Backend) Budget {
	device, ok := backend.(ownMemory)
	if !ok {
		return hostBudget
	}
	free := device.FreeMemory()
	return Budget{
		Weights: max(hostBudget.Weights, free/weightsShare), States: max(hostBudget.States, free/statesShare),
		Kept: max(hostBudget.Kept, free/statesShare), Refit: max(hostBudget.Refit, free/statesShare),
		Rows: deviceRows, Logits: max(hostBudget.Logits, int(free/logitsShare/4)), Doubles: true,
		Workers: deviceWorkers,
	}
}

// Resident reports whether a model's layers are small enough to stay on the device between visits.
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

// HeadChunk returns the number of tokens whose logits are in memory at once.
func (b Budget) HeadChunk(c models.Config) int {
	chunk := b.Rows
	for chunk > 16 && chunk*c.VocabSize > b.Logits {
		chunk /= 2
	}
	return chunk
}
