package gguf

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"prunellm/internal/regularfile"
)

// TensorInfo describes one tensor of a file.
type TensorInfo struct {
	Name   string
	Type   Type
	Shape  []int // slowest axis first: [out, in] for a matrix, so a row is contiguous
	Offset int64 // bytes from the start of the data section
	Size   int64 // bytes
}

// Elements returns the number of values in the tensor.
func (t TensorInfo) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// RowLength returns the length of the fastest axis in values.
func (t TensorInfo) RowLength() int { return t.Shape[len(t.Shape)-1] }

// File is a parsed GGUF file.
type File struct {
	Version    uint32
	Alignment  int          // bytes
	DataOffset int64        // where the data section starts in the file
	Size       int64        // bytes of the whole file
	KVs        []KV         // in the file's order
	Tensors    []TensorInfo // in the file's order

	reader  io.ReaderAt
	closer  io.Closer
	keys    map[string]int
	tensors map[string]int
}

// Open parses the GGUF file at path. The caller must close the File.
func Open(path string) (*File, error) {
	file, size, err := regularfile.Open(path, math.MaxInt64) // no limit: Parse checks every size
	if err != nil {
		return nil, fmt.Errorf("open gguf: %w", err)
	}
	parsed, err := Parse(file, size)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read gguf %q: %w", path, err), file.Close())
	}
	parsed.closer = file
	return parsed, nil
}

// Stat returns the FileInfo of the file that Open opened.
func (f *File) Stat() (os.FileInfo, error) {
	file, ok := f.closer.(*os.File)
	if !ok {
		return nil, fmt.Errorf("stat gguf: %w", os.ErrInvalid)
	}
	return file.Stat()
}

// Close closes the file that Open opened. It is idempotent.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	if err := f.closer.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Tensor returns the tensor with that name, or false if there is none.
func (f *File) Tensor(name string) (TensorInfo, bool) {
	i, ok := f.tensors[name]
	if !ok {
		return TensorInfo{}, false
	}
	return f.Tensors[i], true
}

// Reader returns a reader of the whole file.
func (f *File) Reader() io.ReaderAt { return f.reader }

// Data returns a reader of the bytes of a tensor of this file.
func (f *File) Data(t TensorInfo) *io.SectionReader {
	return io.NewSectionReader(f.reader, f.DataOffset+t.Offset, t.Size)
}

// ReadTensor reads the bytes of a tensor of this file into memory.
func (f *File) ReadTensor(t TensorInfo) ([]byte, error) { return f.ReadRange(t, 0, t.Size) }

// ReadRange reads the bytes [from, to) of a tensor of this file.
func (f *File) ReadRange(t TensorInfo, from, to int64) ([]byte, error) {
	if from < 0 || to < from || to > t.Size {
		return nil, fmt.Errorf("read tensor %q: bytes %d to %d are not within its %d bytes", t.Name, from, to, t.Size)
	}
	data := make([]byte, to-from)
	section := io.NewSectionReader(f.reader, f.DataOffset+t.Offset+from, to-from)
	if n, err := io.ReadFull(section, data); err != nil {
		return nil, fmt.Errorf("read tensor %q: got %d of %d bytes: %w", t.Name, n, len(data), err)
	}
	return data, nil
}
