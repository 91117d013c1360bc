package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"unicode"
	"unicode/utf8"

	"prunellm/internal/regularfile"
)

const metadataKey = "__metadata__"

// ErrNoTensor is wrapped by the error for a tensor that the file does not have.
var ErrNoTensor = errors.New("no such tensor")

// Info describes one tensor of a file.
type Info struct {
	Name   string
	DType  DType
	Shape  []int // slowest axis first; empty for a single number
	Offset int64 // bytes from the start of the data
	Size   int64 // bytes
}

// File is a parsed safetensors file.
type File struct {
	Infos    []Info            // in the order of their bytes
	Metadata map[string]string // never nil

	reader io.ReaderAt
	closer io.Closer
	data   int64 // where the tensors' bytes start in the file
	index  map[string]int
}

// Open parses the file at path. The caller must close the File.
func Open(path string) (*File, error) {
	file, size, err := regularfile.Open(path, math.MaxInt64) // no limit: Parse checks every size
	if err != nil {
		return nil, fmt.Errorf("open safetensors: %w", err)
	}
	parsed, err := Parse(file, size)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read safetensors %q: %w", path, err), file.Close())
	}
	parsed.closer = file
	return parsed, nil
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

// Parse reads the header of a file of the given size in bytes. The reader must stay valid while tensors are read.
func Parse(r io.ReaderAt, size int64) (*File, error) {
	if size < 8 {
		return nil, fmt.Errorf("not a safetensors file: %d bytes", size)
	}
	var head [8]byte
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, 8), head[:]); err != nil {
		return nil, fmt.Errorf("header length: %w", err)
	}
	length := binary.LittleEndian.Uint64(head[:])
	if length > MaxHeaderBytes || int64(length) > size-8 {
		return nil, fmt.Errorf("header of %d bytes in a file of %d; the limit is %d: not a safetensors file, or truncated", length, size, MaxHeaderBytes)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(length)), header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	f := &File{reader: r, data: 8 + int64(length), Metadata: map[string]string{}, index: map[string]int{}}
	if err := f.header(header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return f, f.extents(size - f.data)
}

func (f *File) header(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok || seen[name] {
			return fmt.Errorf("%.80q appears twice", token)
		}
		seen[name] = true
		if name == metadataKey {
			if err := d.Decode(&f.Metadata); err != nil {
				return fmt.Errorf("%s: %w", metadataKey, err)
			}
			if f.Metadata == nil { // __metadata__ was the JSON value null
				f.Metadata = map[string]string{}
			}
			continue
		}
		if err := f.entry(d, name); err != nil {
			return fmt.Errorf("tensor %.80q: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF { // white space after the object is padding
		return errors.New("more than one JSON value")
	}
	return nil
}

func (f *File) entry(d *json.Decoder, name string) error {
	var entry struct {
		DType   DType   `json:"dtype"`
		Shape   []int64 `json:"shape"`
		Offsets []int64 `json:"data_offsets"`
	}
	if err := d.Decode(&entry); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return err
	}
	if len(f.Infos) == MaxTensors {
		return fmt.Errorf("more than %d tensors", MaxTensors)
	}
	if len(entry.Offsets) != 2 || entry.Offsets[0] < 0 || entry.Offsets[1] < entry.Offsets[0] {
		return fmt.Errorf("data_offsets are %.80v", fmt.Sprint(entry.Offsets))
	}
	if len(entry.Shape) > MaxDims {
		return fmt.Errorf("%d dimensions; the limit is %d", len(entry.Shape), MaxDims)
	}
	shape := make([]int, len(entry.Shape))
	for i, n := range entry.Shape {
		if n < 0 || n > math.MaxInt32 {
			return fmt.Errorf("shape %v is out of range", entry.Shape)
		}
		shape[i] = int(n)
	}
	size, err := byteSize(entry.DType, shape)
	if err != nil {
		return err
	}
	if have := entry.Offsets[1] - entry.Offsets[0]; have != size {
		return fmt.Errorf("%d bytes for %s%v; %d are needed", have, entry.DType, shape, size)
	}
	f.Infos = append(f.Infos, Info{Name: name, DType: entry.DType, Shape: shape, Offset: entry.Offsets[0], Size: size})
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > MaxNameBytes {
		return fmt.Errorf("a name has %d bytes but must have 1 to %d", len(name), MaxNameBytes)
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return errors.New("the name is not printable text")
		}
	}
	return nil
}

func byteSize(d DType, shape []int) (int64, error) {
	if d.Size() == 0 {
		return 0, fmt.Errorf("unknown dtype %.20q", string(d))
	}
	if len(shape) > MaxDims {
		return 0, fmt.Errorf("%d dimensions; the limit is %d", len(shape), MaxDims)
	}
	size := int64(d.Size())
	for _, n := range shape {
		if n < 0 || n > math.MaxInt32 || (n > 0 && size > math.MaxInt64/4/int64(n)) {
			return 0, fmt.Errorf("shape %v is out of range", shape)
		}
		size *= int64(n)
	}
	return size, nil
}

// extents sorts the tensors by offset and checks that their bytes cover the data without gaps or overlaps.
func (f *File) extents(available int64) error {
	slices.SortStableFunc(f.Infos, func(a, b Info) int {
		if c := cmp.Compare(a.Offset, b.Offset); c != 0 {
			return c
		}
		return cmp.Compare(a.Size, b.Size) // an empty tensor comes before another at the same offset
	})
	var next int64
	for i, info := range f.Infos {
		if info.Offset != next {
			return fmt.Errorf("tensor %q begins at byte %d of the data instead of %d: gap or overlap", info.Name, info.Offset, next)
		}
		if info.Size > available-next {
			return fmt.Errorf("tensor %q ends at byte %d, but there are only %d: truncated", info.Name, next+info.Size, available)
		}
		next += info.Size
		f.index[info.Name] = i
	}
	if next != available {
		return fmt.Errorf("%d bytes belong to no tensor", available-next)
	}
	return nil
}

// Tensor returns the tensor with that name, or an error that wraps ErrNoTensor.
func (f *File) Tensor(name string) (Info, error) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, fmt.Errorf("tensor %q: %w", name, ErrNoTensor)
	}
	return f.Infos[i], nil
}

// Data returns a reader of the bytes of a tensor of this file.
func (f *File) Data(info Info) *io.SectionReader {
	return io.NewSectionReader(f.reader, f.data+info.Offset, info.Size)
}

// Float32s reads a tensor of dtype F32, F16 or BF16 as float32[shape...].
func (f *File) Float32s(name string) (values []float32, shape []int, err error) {
	info, err := f.Tensor(name)
	if err != nil {
		return nil, nil, err
	}
	raw := make([]byte, info.Size)
	if _, err := io.ReadFull(f.Data(info), raw); err != nil {
		return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	if values, err = decodeFloats(info.DType, raw); err != nil {
		return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return values, slices.Clone(info.Shape), nil
}
