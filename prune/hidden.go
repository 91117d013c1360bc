package prune

import (
	"slices"

	"prunellm/models"
	"prunellm/models/llama"
)

// Hidden holds the dense model's hidden states after each layer for calibration sequences. They are on the device, where
// ScoreKeeping left them, or in a StateFile. Without Hidden a refit recomputes the states, which takes a third of its time.
// Its owner calls Release.
//
// # Concurrency
//
// It belongs to one goroutine.
type Hidden struct {
	sequences [][]int32
	layers    []llama.States // [layers][sequences]: results of each layer, float32[padded tokens, e]
	stored    *storedStates  // the open file with the states; nil: layers has them
}

// newHidden allocates the lists for the states of all layers. It returns nil if the states exceed a budget in bytes.
func newHidden(c models.Config, sequences [][]int32, budget int64) *Hidden {
	tokens := int64(0)
	for _, s := range sequences {
		tokens += int64(llama.PadLength(len(s)))
	}
	if 4*tokens*int64(c.Layers)*int64(c.HiddenSize) > budget {
		return nil
	}
	h := &Hidden{sequences: sequences, layers: make([]llama.States, c.Layers)}
	for i := range h.layers {
		h.layers[i] = make(llama.States, 0, len(sequences))
	}
	return h
}

// take moves a layer's results for the next sequences into h.
func (h *Hidden) take(layer int, results llama.States) {
	h.layers[layer] = append(h.layers[layer], results...)
	clear(results)
}

// of reports whether these are the states of exactly these sequences.
func (h *Hidden) of(sequences [][]int32) bool {
	return h != nil && slices.EqualFunc(h.sequences, sequences, slices.Equal[[]int32]) &&
		(h.stored != nil || !slices.ContainsFunc(h.layers, func(s llama.States) bool { return len(s) != len(sequences) }))
}

// layer returns one layer's states of all sequences, which the caller then owns.
func (h *Hidden) layer(m *llama.Model, layer int) (llama.States, error) {
	if h.stored != nil {
		return h.stored.layer(m, layer, h.sequences)
	}
	states := h.layers[layer]
	h.layers[layer] = nil
	return states, nil
}

// Release frees everything. It is idempotent, also for nil.
func (h *Hidden) Release() {
	if h == nil {
		return
	}
	for _, states := range h.layers {
		states.Release()
	}
	h.layers = nil
	if h.stored != nil {
		h.stored.content.Close()
	}
}
