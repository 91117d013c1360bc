package llama

import (
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/models"
)

// gpu is a fake backend of a device with its own memory.
type gpu struct {
	backends.Backend
	free int64
}

func (g gpu) FreeMemory() int64 { return g.free }

func TestBudget(t *testing.T) {
	small := models.Config{Layers: 30, HiddenSize: 576, Heads: 9, KVHeads: 3, HeadDim: 64, VocabSize: 49152, FFN: widths(30, 1536)}
	large := models.Config{Layers: 16, HiddenSize: 2048, Heads: 32, KVHeads: 8, HeadDim: 64, VocabSize: 128256, FFN: widths(16, 8192)}
	for name, c := range map[string]struct {
		backend       backends.Backend
		config        models.Config
		resident      bool
		chunk, states int64
	}{
		"host, 135M":       {nil, small, true, 256, 256 << 20},
		"host, 1B":         {nil, large, false, 128, 256 << 20},
		"80 GiB, 135M":     {gpu{free: 80 << 30}, small, true, 2048, 20 << 30},
		"80 GiB, 1B":       {gpu{free: 80 << 30}, large, true, 2048, 20 << 30},
		"8 GiB, 1B":        {gpu{free: 8 << 30}, large, false, 256, 2 << 30},
		"a full GPU, 1B":   {gpu{free: 0}, large, false, 128, 256 << 20},
		"a full one, 135M": {gpu{free: 0}, small, true, 256, 256 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			b := BudgetOf(c.backend)
			if got := b.Resident(c.config); got != c.resident {
				t.Errorf("resident: %t, want %t", got, c.resident)
			}
			if got := b.HeadChunk(c.config); int64(got) != c.chunk {
				t.Errorf("head chunk: %d, want %d", got, c.chunk)
			}
			if b.States != c.states {
				t.Errorf("states: %d bytes, want %d", b.States, c.states)
			}
		})
	}
}

func widths(layers, width int) []int {
	all := make([]int, layers)
	for i := range all {
		all[i] = width
	}
	return all
}
