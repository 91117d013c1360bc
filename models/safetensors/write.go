package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"prunellm/internal/exact"
)

// Tensor is a tensor in memory.
type Tensor struct {
	Name   string
	DType  DType // F32, F16 or BF16; "" is F32
	Shape  []int // slowest axis first
	Values []float32
}

// Source describes a tensor of any dtype to write.
type Source struct {
	Name  string
	DType DType
	Shape []int // slowest axis first
	// Write writes the tensor's bytes. It must write exactly as many as dtype and shape require.
	Write func(ctx context.Context, w io.Writer) error
}

// maxInMemory is the size in bytes up to which EncodeSources allocates the whole file up front.
const maxInMemory = 1 << 32

// Encode returns the bytes of a file. The same tensors and metadata give the same bytes, no matter in which order the
// tensors are given.
func Encode(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	sources, err := toSources(tensors)
	if err != nil {
		return nil, err
	}
	return EncodeSources(sources, metadata)
}

// EncodeSources is like Encode for tensors of any dtype that write their own bytes.
func EncodeSources(tensors []Source, metadata map[string]string) ([]byte, error) {
	var out bytes.Buffer
	grow := 0
	for _, t := range tensors {
		if size, err := byteSize(t.DType, t.Shape); err == nil && size < maxInMemory {
			grow += int(size)
		}
	}
	out.Grow(min(grow, maxInMemory)) // growing step by step would need twice the memory
	if err := write(context.Background(), &out, tensors, metadata); err != nil {
		return nil, fmt.Errorf("encode safetensors: %w", err)
	}
	return out.Bytes(), nil
}

// Decode parses the bytes of a file. All its tensors must be of a dtype that converts to float32.
func Decode(data []byte) (tensors []Tensor, metadata map[string]string, err error) {
	f, err := Parse(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, fmt.Errorf("decode safetensors: %w", err)
	}
	tensors, err = f.all()
	return tensors, f.Metadata, err
}

// ReadFile is like Decode for a file on disk.
func ReadFile(path string) (tensors []Tensor, metadata map[string]string, err error) {
	f, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // only read: nothing to lose
	if tensors, err = f.all(); err != nil {
		return nil, nil, fmt.Errorf("read safetensors %q: %w", path, err)
	}
	return tensors, f.Metadata, nil
}

func (f *File) all() ([]Tensor, error) {
	tensors := make([]Tensor, 0, len(f.Infos))
	for _, info := range f.Infos {
		values, shape, err := f.Float32s(info.Name)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, Tensor{Name: info.Name, DType: info.DType, Shape: shape, Values: values})
	}
	return tensors, nil
}

// WriteFile writes the bytes that Encode returns to a file. It is as atomic as Write.
func WriteFile(ctx context.Context, path string, tensors []Tensor, metadata map[string]string) error {
	sources, err := toSources(tensors)
	if err != nil {
		return err
	}
	return Write(ctx, path, sources, metadata)
}

// Write streams tensors to a file. It is atomic: if it returns nil, the file is complete and on stable storage; if it
// fails, path keeps its old content.
func Write(ctx context.Context, path string, tensors []Source, metadata map[string]string) error {
	err := exact.File(path, func(w io.Writer) error { return write(ctx, w, tensors, metadata) })
	if err != nil {
		return fmt.Errorf("write safetensors %q: %w", path, err)
	}
	return nil
}

func toSources(tensors []Tensor) ([]Source, error) {
	sources := make([]Source, 0, len(tensors))
	for _, t := range tensors {
		if t.DType == "" {
			t.DType = F32
		}
		if t.DType != F32 && t.DType != F16 && t.DType != BF16 {
			return nil, fmt.Errorf("tensor %q: dtype %q is not F32, F16 or BF16", t.Name, t.DType)
		}
		size, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if size != int64(len(t.Values))*int64(t.DType.Size()) {
			return nil, fmt.Errorf("tensor %q: %d values for shape %v", t.Name, len(t.Values), t.Shape)
		}
		sources = append(sources, Source{Name: t.Name, DType: t.DType, Shape: t.Shape, Write: func(_ context.Context, w io.Writer) error {
			const step = 1 << 16 // values converted at a time
			buffer := make([]byte, 0, step*4)
			for values := range slices.Chunk(t.Values, step) {
				buffer = appendFloats(buffer[:0], t.DType, values)
				if _, err := w.Write(buffer); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	return sources, nil
}

// write orders the tensors as the reference implementation does: dtypes with larger values first, so that all values
// are aligned, then by name.
func write(ctx context.Context, w io.Writer, tensors []Source, metadata map[string]string) error {
	ordered := slices.Clone(tensors)
	slices.SortFunc(ordered, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), cmp.Compare(a.Name, b.Name))
	})
	header, sizes, err := encodeHeader(ordered, metadata)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	if _, err := out.Write(header); err != nil {
		return err
	}
	for i, t := range ordered {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := exact.Tensor(ctx, out, sizes[i], t.Write); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return out.Flush()
}

func encodeHeader(tensors []Source, metadata map[string]string) (header []byte, sizes []int64, err error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	field := func(name string, value any) error {
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		text, err := json.Marshal(value) // json sorts the keys of a map
		b.Write(key)
		b.WriteByte(':')
		b.Write(text)
		return err
	}
	if len(metadata) > 0 {
		if err := field(metadataKey, metadata); err != nil {
			return nil, nil, err
		}
	}
	var offset int64
	seen := map[string]bool{metadataKey: true}
	for _, t := range tensors {
		if err := checkName(t.Name); err != nil || seen[t.Name] {
			return nil, nil, errors.Join(fmt.Errorf("tensor %q: the name is not valid or appears twice", t.Name), err)
		}
		seen[t.Name] = true
		size, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		sizes = append(sizes, size)
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		entry := struct {
			DType   DType    `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, shape, [2]int64{offset, offset + size}}
		if err := field(t.Name, entry); err != nil {
			return nil, nil, err
		}
		offset += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > MaxHeaderBytes || len(tensors) > MaxTensors {
		return nil, nil, fmt.Errorf("header of %d bytes for %d tensors; the limits are %d and %d", b.Len()-8, len(tensors), MaxHeaderBytes, MaxTensors)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), sizes, nil
}
