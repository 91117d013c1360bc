package prune

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/internal/regularfile"
	"prunellm/models"
	"prunellm/models/llama"
)

// StateFile is where the dense model's hidden states of one calibration text lie between refits, so that a further ratio needs no pass
// through the dense model. It holds one text's; another one's take their place. Whatever is wrong with the file, the states are computed.
//
// The file is a line, statesMagic; 32 bytes that identify the states; float32[layers][sequences][tokens, e], little-endian; and the CRC-32C
// of all of it.
type StateFile struct {
	Path string
	// Folder is for the file while it is written, on the same file system. Its owner removes what a process that dies leaves in it.
	Folder string
	// Identity is of all that decides the states but the sequences: the model, and how finely it was computed.
	Identity string
}

const statesMagic = "prunellm hidden states 1\n"

// maxStatesBytes bounds a file that is read: more than any Budget.Kept.
const maxStatesBytes = 64 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errOtherStates says that a file is of another model, text or precision.
var errOtherStates = errors.New("they are of another text or model")

// head is what the states' file begins with.
func (f *StateFile) head(c models.Config, sequences [][]int32) ([]byte, error) {
	hash := sha256.New()
	if err := json.NewEncoder(hash).Encode([]any{f.Identity, c.Layers, c.HiddenSize, sequences}); err != nil {
		return nil, err
	}
	return hash.Sum([]byte(statesMagic)), nil
}

// spareFactor is how many times its size must be free for a file that only saves time: models and their variants need the disk more.
const spareFactor = 4

// checkRoom fails where the states would take up a good part of what is free.
func (f *StateFile) checkRoom(size int64) error {
	if free, known := regularfile.FreeSpace(f.Folder); known && free/spareFactor < size {
		return fmt.Errorf("they take %d MiB and %d MiB are free, want %d times as much", size>>20+1, free>>20, spareFactor)
	}
	return nil
}

// save writes states that are on the device, and leaves them there. written is called after each layer, whose states are not looked at from
// then on; it may be nil. The file is not synced: one that a crash tore is told by its checksum.
func (f *StateFile) save(ctx context.Context, c models.Config, h *Hidden, written func()) (err error) {
	head, err := f.head(c, h.sequences)
	if err != nil {
		return err
	}
	if err := f.checkRoom(int64(c.Layers) * layerBytes(c, h.sequences)); err != nil {
		return err
	}
	file, err := os.CreateTemp(f.Folder, "states-*")
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err == nil {
			err = os.Rename(file.Name(), f.Path)
		}
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)
	_, _ = out.Write(head) // what fails once fails at Flush
	for _, states := range h.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i, x := range states {
			if err := writeRows(out, x, len(h.sequences[i])*c.HiddenSize); err != nil {
				return err
			}
		}
		if written != nil {
			written()
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = file.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// writeRows writes the first values of a tensor as they lie in memory.
func writeRows(w io.Writer, x *tensors.Tensor, values int) (err error) {
	defer llama.Guard(&err)
	buffer := make([]byte, 4*values)
	err = x.ConstFlatData(func(flat any) {
		for i, value := range flat.([]float32)[:values] {
			binary.LittleEndian.PutUint32(buffer[4*i:], math.Float32bits(value))
		}
	})
	if err == nil {
		_, err = w.Write(buffer)
	}
	return err
}

// load finds the states of sequences, checked as a whole. The error wraps fs.ErrNotExist where there is no file.
func (f *StateFile) load(c models.Config, sequences [][]int32) (*Hidden, error) {
	head, err := f.head(c, sequences)
	if err != nil {
		return nil, err
	}
	file, size, err := regularfile.Open(f.Path, maxStatesBytes)
	if err != nil {
		return nil, err
	}
	s := &storedStates{file: file, hidden: c.HiddenSize, begin: int64(len(head)), layerBytes: layerBytes(c, sequences)}
	if err := s.check(head, size, int64(c.Layers)); err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Hidden{sequences: sequences, stored: s}, nil
}

// layerBytes is what one layer's states take in a file.
func layerBytes(c models.Config, sequences [][]int32) (size int64) {
	for _, tokens := range sequences {
		size += 4 * int64(len(tokens)) * int64(c.HiddenSize)
	}
	return size
}

// storedStates is an open StateFile.
type storedStates struct {
	file       *os.File
	begin      int64 // of the first layer, in bytes
	layerBytes int64
	hidden     int
	data       []byte    // of the sequence at hand
	values     []float32 // the same
}

// check reads all of a file of some size.
func (s *storedStates) check(head []byte, size, layers int64) error {
	found := make([]byte, len(head))
	if _, err := io.ReadFull(s.file, found); err != nil || string(found) != string(head) {
		return errOtherStates
	}
	if want := s.begin + layers*s.layerBytes + crc32.Size; size != want {
		return fmt.Errorf("the file has %d bytes, want %d", size, want)
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write(head) // a hash takes everything
	if _, err := io.CopyN(sum, s.file, layers*s.layerBytes); err != nil {
		return err
	}
	var stored [crc32.Size]byte
	if _, err := io.ReadFull(s.file, stored[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(stored[:]) != sum.Sum32() {
		return errors.New("the file's checksum is wrong")
	}
	return nil
}

// layer brings what one layer made of the sequences to the device.
func (s *storedStates) layer(m *llama.Model, layer int, sequences [][]int32) (states llama.States, err error) {
	defer func() {
		if err != nil {
			states.Release()
			states = nil
		}
	}()
	in := io.NewSectionReader(s.file, s.begin+int64(layer)*s.layerBytes, s.layerBytes)
	for _, tokens := range sequences {
		length := llama.PadLength(len(tokens))
		data, values := s.room(4*len(tokens)*s.hidden, length*s.hidden)
		if _, err := io.ReadFull(in, data); err != nil {
			return states, fmt.Errorf("read %s: %w", s.file.Name(), err)
		}
		for i := range len(tokens) * s.hidden {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		clear(values[len(tokens)*s.hidden:])
		x, err := m.Upload(values, length, s.hidden)
		if err != nil {
			return states, err
		}
		states = append(states, x)
	}
	return states, nil
}

// room is memory for one sequence, valid until the next call.
func (s *storedStates) room(bytes, values int) ([]byte, []float32) {
	s.data, s.values = slices.Grow(s.data[:0], bytes)[:bytes], slices.Grow(s.values[:0], values)[:values]
	return s.data, s.values
}
