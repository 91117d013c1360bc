package prune

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// A refit needs the states of all sequences at every layer. To bound memory, it processes one portion of the sequences at a time
// and keeps the states of the others in a file. The sums of a layer have the same size for any text.

// portion is a part of the batches, with their sequences in ascending order.
type portion struct {
	batches   []int
	sequences []int
}

// portionsOf divides batches into portions. The states of a portion for one layer take at most budget bytes, unless it has only
// one batch.
func portionsOf(c models.Config, batches []batch, sequences [][]int32, budget int64) (portions []portion) {
	width := 0
	for _, f := range c.FFN {
		width = max(width, f)
	}
	// The dense states, the pruned ones, the inputs of both and the activations.
	perToken, left := 4*int64(4*c.HiddenSize+width), int64(0)
	owner := make([]int, len(sequences))
	for b, of := range batches {
		size := int64(0)
		for _, i := range of {
			size += perToken * int64(llama.PadLength(len(sequences[i])))
		}
		if left -= size; left < 0 {
			portions = append(portions, portion{})
			left = budget - size
		}
		last := len(portions) - 1
		portions[last].batches = append(portions[last].batches, b)
		for _, i := range of {
			owner[i] = last
		}
	}
	for i, p := range owner {
		portions[p].sequences = append(portions[p].sequences, i)
	}
	return portions
}

// parking keeps tensors in a file. A nil parking keeps them where they are. It belongs to one goroutine.
type parking struct {
	model *llama.Model // uploads
	file  *os.File
	size  int64
	slots map[parkedAt]*slot
	bytes []uint64 // buffer for a tensor; a slice of words, so that its floats are aligned
}

// parkedAt identifies a tensor by its kind and its number.
type parkedAt struct {
	what parked
	i    int
}

// parked are the kinds of tensors in the file.
type parked int

const (
	parkedDense      parked = iota // by sequence
	parkedSlim                     // by batch; also the states before the refitted projection is added
	parkedActivation               // by batch
)

// slot is a place in the file.
type slot struct {
	offset, capacity int64
	dtype            dtypes.DType
	dimensions       []int
}

// newParking creates the file in a folder and deletes its name, so that a killed process leaves no file.
func newParking(model *llama.Model, folder string) (*parking, error) {
	file, err := os.CreateTemp(folder, "refit-*.states")
	if err != nil {
		return nil, fmt.Errorf("create a file for the states of a refit: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, fmt.Errorf("file for the states of a refit: %w", err)
	}
	return &parking{model: model, file: file, slots: map[parkedAt]*slot{}}, nil
}

func (p *parking) close() {
	if p != nil {
		p.file.Close()
	}
}

// put moves the tensors with these numbers to the file.
func (p *parking) put(what parked, states llama.States, numbers []int) error {
	if p == nil {
		return nil
	}
	for _, i := range numbers {
		if err := p.write(parkedAt{what, i}, states[i]); err != nil {
			return fmt.Errorf("keep the states of a refit on disk (%d bytes per layer): %w", p.size, withoutPath(err))
		}
		states.Replace(i, nil)
	}
	return nil
}

// withoutPath removes the deleted name of the file from an error.
func withoutPath(err error) error {
	var fault *fs.PathError
	if errors.As(err, &fault) {
		return fault.Err
	}
	return err
}

func (p *parking) write(at parkedAt, x *tensors.Tensor) (err error) {
	defer llama.Guard(&err)
	shape := x.Shape()
	size := int64(shape.Memory())
	s := p.slots[at]
	if s == nil || s.capacity < size { // layers differ in width
		s = &slot{offset: p.size, capacity: size}
		p.slots[at] = s
		p.size += size
	}
	s.dtype, s.dimensions = shape.DType, append(s.dimensions[:0], shape.Dimensions...)
	var failed error
	err = x.ConstBytes(func(data []byte) { _, failed = p.file.WriteAt(data, s.offset) })
	return errors.Join(err, failed)
}

// take uploads the tensors with these numbers from the file.
func (p *parking) take(what parked, states llama.States, numbers []int) error {
	if p == nil {
		return nil
	}
	for _, i := range numbers {
		x, err := p.read(p.slots[parkedAt{what, i}])
		if err != nil {
			return fmt.Errorf("read the states of a refit from disk: %w", withoutPath(err))
		}
		states.Replace(i, x)
	}
	return nil
}

func (p *parking) read(s *slot) (*tensors.Tensor, error) {
	count := 1
	for _, d := range s.dimensions {
		count *= d
	}
	size := count * s.dtype.Size()
	const word = 8
	if words := (size + word - 1) / word; len(p.bytes) < words {
		p.bytes = make([]uint64, words)
	}
	start := unsafe.Pointer(unsafe.SliceData(p.bytes))
	if _, err := p.file.ReadAt(unsafe.Slice((*byte)(start), size), s.offset); err != nil {
		return nil, err
	}
	if s.dtype == dtypes.BFloat16 {
		return p.model.UploadNarrow(unsafe.Slice((*bfloat16.BFloat16)(start), count), s.dimensions...)
	}
	return p.model.Upload(unsafe.Slice((*float32)(start), count), s.dimensions...)
}
