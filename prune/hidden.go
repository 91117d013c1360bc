package prune

import (
	"slices"

	"prunellm/models"
	"prunellm/models/llama"
)

// Hidden is what the dense model's layers made of calibration sequences: kept on the device from the scores to a refit, or read from a
// StateFile. Without it a refit computes that once more: a third of its time. Its owner ends it with Release.
//
// # Concurrency
//
// It belongs to one goroutine.
type Hidden struct {
	sequences [][]int32
	layers    []llama.States // [layers][sequences]: results of each layer, float32[padded tokens, e]
	stored    *storedStates  // where they come from instead; nil: layers holds them
}

// newHidden makes room for the states of all layers, nil where they exceed a budget in bytes.
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

// take moves what a layer made of the next sequences here.
func (h *Hidden) take(layer int, results llama.States) {
	h.layers[layer] = append(h.layers[layer], results...)
	clear(results)
}

// of tells whether these are the states of all these sequences.
func (h *Hidden) of(sequences [][]int32) bool {
	return h != nil && slices.EqualFunc(h.sequences, sequences, slices.Equal[[]int32]) &&
		(h.stored != nil || !slices.ContainsFunc(h.layers, func(s llama.States) bool { return len(s) != len(sequences) }))
}

// layer gives away what one layer made of all sequences, for the model that runs on them.
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
