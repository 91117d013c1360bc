package llama

import (
	"github.com/gomlx/gomlx/backends"

	"prunellm/models"
)

// Budget says how much memory work on a backend may use.
type Budget struct {
	// Weights is the size in bytes, as float32, up to which the weights of all layers stay on the device. The layers of
	// a larger model are loaded again for each visit, so that memory does not grow with depth.
	Weights int64
	// States bounds the bytes that the forward pass of one group of sequences saves for the backward pass.
	States int64
	// Kept bounds the bytes of the dense model's hidden states that scoring leaves in memory for a refit.
	Kept int64
	// Refit bounds the bytes of hidden states that are in memory during a layer's refit. The states of longer texts are
	// on disk.
	Refit int64
	// Rows bounds the number of tokens whose logits are in memory at once, and Logits the number of these logits.
	Rows, Logits int
	// Together bounds the number of tokens in a batch of sequences. A longer sequence runs alone.
	Together int
	// Doubles reports whether the device rounds the factors of float32 matmuls, as the tensor cores of a GPU do. Sums
	// that must be exact then use float64, which is fast on such a device.
	Doubles bool
	// Workers is the number of programs in flight. With more than one, the device computes one program while the
	// results of another are copied.
	Workers int
}

// hostBudget is the budget of backends that use the machine's own memory, next to a running server.
var hostBudget = Budget{Weights: 512 << 20, States: 256 << 20, Kept: 640 << 20, Refit: 1 << 30, Together: 1024, Rows: 256, Logits: 16 << 20, Workers: 1}

// Each part of the budget is the device's free memory divided by one of these numbers. The rest is for buffers of
// running programs, results and the allocator's overhead.
const (
	weightsShare  = 3
	statesShare   = 4
	logitsShare   = 64 // the loss has about six arrays of this size
	deviceRows    = 2048
	deviceWorkers = 3
)

// ownMemory is implemented by the backend of a device with its own memory.
type ownMemory interface {
	// FreeMemory returns the number of bytes that were free when the backend was opened.
	FreeMemory() int64
}

// BudgetOf returns the budget for a backend.
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

// Resident reports whether all layers of a model fit on the device at once, so that they can stay there between visits.
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
