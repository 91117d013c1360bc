package prune

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unsafe"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/internal/reuse"
	"prunellm/models"
	"prunellm/models/llama"
)

// StateFile stores the dense model's hidden states of one calibration text, float32[layers][sequences][tokens, e], for later
// refits. Another ratio then needs no pass through the dense model. If the file is unusable, the refit computes the states.
type StateFile struct {
	// Identity of File contains everything besides the sequences that determines the states: the model and the precision.
	reuse.File
}

// of returns the file for the states of these sequences.
func (f *StateFile) of(c models.Config, sequences [][]int32) (reuse.File, error) {
	var identity strings.Builder
	err := json.NewEncoder(&identity).Encode([]any{"hidden states", f.Identity, c.Layers, c.HiddenSize, sequences})
	return reuse.File{Path: f.Path, Folder: f.Folder, Identity: identity.String()}, err
}

// save writes states from the device, and leaves them there. It calls written, if not nil, after each layer, and does not read
// that layer's states again.
func (f *StateFile) save(ctx context.Context, c models.Config, h *Hidden, written func()) error {
	file, err := f.of(c, h.sequences)
	if err != nil {
		return err
	}
	return file.Save(int64(c.Layers)*layerBytes(c, h.sequences), func(w io.Writer) error {
		for _, states := range h.layers {
			if err := ctx.Err(); err != nil {
				return err
			}
			for i, x := range states {
				if err := writeRows(w, x, len(h.sequences[i])*c.HiddenSize); err != nil {
					return err
				}
			}
			if written != nil {
				written()
			}
		}
		return nil
	})
}

// writeRows writes the first values of a tensor in the machine's byte order.
func writeRows(w io.Writer, x *tensors.Tensor, values int) (err error) {
	defer llama.Guard(&err)
	var failed error
	err = x.ConstFlatData(func(flat any) { _, failed = w.Write(bytesOf(flat.([]float32)[:values])) })
	if err == nil {
		err = failed
	}
	return err
}

// bytesOf returns the memory of values as bytes.
func bytesOf(values []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
}

// load opens the states of these sequences. Errors are those of reuse.File's Load.
func (f *StateFile) load(c models.Config, sequences [][]int32) (*Hidden, error) {
	file, err := f.of(c, sequences)
	if err != nil {
		return nil, err
	}
	s := &storedStates{hidden: c.HiddenSize, layerBytes: layerBytes(c, sequences)}
	if s.content, err = file.Load(int64(c.Layers) * s.layerBytes); err != nil {
		return nil, err
	}
	return &Hidden{sequences: sequences, stored: s}, nil
}

// layerBytes returns the size of one layer's states in a file.
func layerBytes(c models.Config, sequences [][]int32) (size int64) {
	for _, tokens := range sequences {
		size += 4 * int64(len(tokens)) * int64(c.HiddenSize)
	}
	return size
}

// storedStates is an open StateFile.
type storedStates struct {
	content    *reuse.Content
	layerBytes int64
	hidden     int
	values     []float32 // of the current sequence
}

// layer uploads one layer's states of the sequences.
func (s *storedStates) layer(m *llama.Model, layer int, sequences [][]int32) (states llama.States, err error) {
	defer func() {
		if err != nil {
			states.Release()
			states = nil
		}
	}()
	offset := int64(layer) * s.layerBytes
	for _, tokens := range sequences {
		length, stored := llama.PadLength(len(tokens)), len(tokens)*s.hidden
		s.values = slices.Grow(s.values[:0], length*s.hidden)[:length*s.hidden]
		if _, err := s.content.ReadAt(bytesOf(s.values[:stored]), offset); err != nil {
			return states, err
		}
		offset += 4 * int64(stored)
		clear(s.values[stored:])
		x, err := m.Upload(s.values, length, s.hidden)
		if err != nil {
			return states, err
		}
		states = append(states, x)
	}
	return states, nil
}
