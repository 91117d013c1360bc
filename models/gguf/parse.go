package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const magic = "GGUF"

// Parse reads the metadata of a GGUF file of the given size in bytes. The reader must stay valid while tensors are
// read. Parse returns a *FormatError for faults of the content.
func Parse(r io.ReaderAt, size int64) (*File, error) {
	limit := min(size, MaxMetadataBytes)
	p := &parser{
		r:     bufio.NewReaderSize(io.NewSectionReader(r, 0, max(limit, 0)), 1<<16),
		limit: limit,
		file:  &File{Size: size, reader: r, Alignment: DefaultAlignment, keys: map[string]int{}, tensors: map[string]int{}},
	}
	if err := p.run(); err != nil {
		var format *FormatError
		if errors.As(err, &format) {
			return nil, err
		}
		p.faults.add("%s", err.Error())
		return nil, &p.faults
	}
	if len(p.faults.Faults) > 0 {
		return nil, &p.faults
	}
	return p.file, nil
}

// parser reads the header, the keys and the tensor descriptions. It collects faults as long as it can continue, and
// stops at the first after which it cannot.
type parser struct {
	r      *bufio.Reader
	pos    int64
	limit  int64 // metadata bytes that the parser may read: the file's size or the limit
	file   *File
	faults FormatError
	buffer [8]byte
}

func (p *parser) run() error {
	tensors, keys, err := p.header()
	if err != nil {
		return err
	}
	for range keys {
		if err := p.kv(); err != nil {
			return err
		}
	}
	if err := p.alignment(); err != nil {
		return err
	}
	p.file.Tensors = make([]TensorInfo, 0, tensors)
	for i := range tensors {
		if err := p.tensor(i); err != nil {
			return err
		}
	}
	align := int64(p.file.Alignment)
	p.file.DataOffset = (p.pos + align - 1) / align * align
	p.extents()
	return nil
}

func (p *parser) header() (tensors, keys int, err error) {
	var head [4]byte
	n, err := io.ReadFull(p.r, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, 0, err
	}
	if string(head[:n]) != magic {
		return 0, 0, fmt.Errorf("not a GGUF file: it starts with %q instead of %q", head[:n], magic)
	}
	p.pos = 4
	version, err := p.uint32("version")
	if err != nil {
		return 0, 0, err
	}
	if version != 2 && version != 3 {
		if version&0xffff == 0 && version != 0 {
			return 0, 0, errors.New("the file is big-endian, which is not supported: convert it to little endian")
		}
		return 0, 0, fmt.Errorf("GGUF version %d is not supported; use 2 or 3", version)
	}
	p.file.Version = version
	if tensors, err = p.count("number of tensors", MaxTensors, 4+8+8); err != nil {
		return 0, 0, err
	}
	keys, err = p.count("number of keys", MaxKeys, 8+4+1)
	return tensors, keys, err
}

func (p *parser) kv() error {
	where := fmt.Sprintf("key %d", len(p.file.KVs))
	key, err := p.string(where, MaxKeyBytes)
	if err != nil {
		return err
	}
	if err := checkName(key); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	where = fmt.Sprintf("key %q", key)
	kind, err := p.uint32(where)
	if err != nil {
		return err
	}
	var value any
	if valueType(kind) == typeArray {
		value, err = p.array(where)
	} else {
		value, err = p.scalar(where, valueType(kind))
	}
	if err != nil {
		return err
	}
	if _, twice := p.file.keys[key]; twice {
		p.faults.add("%s appears twice", where)
	} else {
		p.file.keys[key] = len(p.file.KVs)
	}
	p.file.KVs = append(p.file.KVs, KV{key, value})
	return nil
}

func (p *parser) alignment() error {
	value, ok := p.file.Value(AlignmentKey)
	if !ok {
		return nil
	}
	align, ok := value.(uint32)
	if !ok {
		return fmt.Errorf("key %q is of type %T instead of uint32", AlignmentKey, value)
	}
	if align == 0 || align > MaxAlignment || align&(align-1) != 0 {
		return fmt.Errorf("alignment is %d but must be a power of two up to %d", align, MaxAlignment)
	}
	p.file.Alignment = int(align)
	return nil
}

func (p *parser) tensor(i int) error {
	where := fmt.Sprintf("tensor %d", i)
	name, err := p.string(where, MaxNameBytes)
	if err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	where = fmt.Sprintf("tensor %q", name)
	shape, err := p.shape(where)
	if err != nil {
		return err
	}
	kind, err := p.uint32(where)
	if err != nil {
		return err
	}
	offset, err := p.uint64(where)
	if err != nil {
		return err
	}
	info := TensorInfo{Name: name, Type: Type(kind), Shape: shape}
	if !info.Type.Known() {
		return fmt.Errorf("%s has the unknown type %d", where, kind)
	}
	if rest := info.RowLength() % info.Type.BlockSize(); rest != 0 {
		return fmt.Errorf("%s has rows of %d values, which is not a multiple of the %s block of %d", where, info.RowLength(), info.Type,
			info.Type.BlockSize())
	}
	if info.Size, err = info.Type.Size(info.Elements()); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if offset > math.MaxInt64/2 {
		return fmt.Errorf("%s has offset %d, which is beyond any file", where, offset)
	}
	info.Offset = int64(offset)
	if _, twice := p.file.tensors[name]; twice {
		p.faults.add("%s appears twice", where)
	} else {
		p.file.tensors[name] = i
	}
	p.file.Tensors = append(p.file.Tensors, info)
	return nil
}

func (p *parser) shape(where string) ([]int, error) {
	dims, err := p.uint32(where)
	if err != nil {
		return nil, err
	}
	if dims == 0 || dims > MaxDims {
		return nil, fmt.Errorf("%s has %d dimensions but must have 1 to %d", where, dims, MaxDims)
	}
	shape := make([]int, dims)
	product := uint64(1)
	for i := range shape {
		d, err := p.uint64(where)
		if err != nil {
			return nil, err
		}
		if d == 0 || d > math.MaxInt32 {
			return nil, fmt.Errorf("%s has a dimension of %d; it must be 1 to %d", where, d, math.MaxInt32)
		}
		if product > math.MaxInt64/16/d {
			return nil, fmt.Errorf("%s has more values than can be counted", where)
		}
		product *= d
		shape[len(shape)-1-i] = int(d)
	}
	return shape, nil
}

// extents checks that the tensors' bytes are aligned, lie within the file and do not overlap.
func (p *parser) extents() {
	f := p.file
	available := f.Size - f.DataOffset
	order := make([]int, len(f.Tensors))
	for i, t := range f.Tensors {
		order[i] = i
		if t.Offset%int64(f.Alignment) != 0 {
			p.faults.add("tensor %q has offset %d, which is not a multiple of the alignment %d", t.Name, t.Offset, f.Alignment)
		}
		if t.Size > available || t.Offset > available-t.Size {
			p.faults.add("tensor %q ends at byte %d, but the file has %d bytes: it is truncated or damaged", t.Name,
				saturatingSum(f.DataOffset, t.Offset, t.Size), f.Size)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return compareInt64(f.Tensors[a].Offset, f.Tensors[b].Offset)
	})
	for i := 1; i < len(order); i++ {
		before, after := f.Tensors[order[i-1]], f.Tensors[order[i]]
		if before.Offset+min(before.Size, math.MaxInt64/2) > after.Offset {
			p.faults.add("tensor %q overlaps tensor %q", after.Name, before.Name)
		}
	}
}

func compareInt64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func saturatingSum(values ...int64) int64 {
	var sum int64
	for _, v := range values {
		if sum > math.MaxInt64-v {
			return math.MaxInt64
		}
		sum += v
	}
	return sum
}

// checkName returns an error for a name that does not print on one line.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("empty name")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("name %q is not printable text", name)
	}
	return nil
}

// need returns an error if fewer than n bytes of metadata are left.
func (p *parser) need(where string, n int64) error {
	if n <= p.limit-p.pos {
		return nil
	}
	if p.limit == p.file.Size {
		return fmt.Errorf("%s: the file ends at byte %d; it is truncated", where, p.file.Size)
	}
	return fmt.Errorf("%s: the metadata is longer than %d MiB", where, MaxMetadataBytes>>20)
}

func (p *parser) read(where string, n int) ([]byte, error) {
	if err := p.need(where, int64(n)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(p.r, p.buffer[:n]); err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	p.pos += int64(n)
	return p.buffer[:n], nil
}

func (p *parser) uint32(where string) (uint32, error) {
	b, err := p.read(where, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (p *parser) uint64(where string) (uint64, error) {
	b, err := p.read(where, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads a number of items. It rejects a number that the rest of the metadata cannot hold, given that an item
// takes at least minSize bytes.
func (p *parser) count(where string, most, minSize int) (int, error) {
	n, err := p.uint64(where)
	if err != nil {
		return 0, err
	}
	if n > uint64(most) {
		return 0, fmt.Errorf("%s is %d, which exceeds the limit of %d", where, n, most)
	}
	return int(n), p.need(where, int64(n)*int64(minSize))
}

func (p *parser) string(where string, most int) (string, error) {
	n, err := p.uint64(where)
	if err != nil {
		return "", err
	}
	if n > uint64(most) {
		return "", fmt.Errorf("%s: a string of %d bytes exceeds the limit of %d", where, n, most)
	}
	if err := p.need(where, int64(n)); err != nil {
		return "", err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(p.r, data); err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	p.pos += int64(n)
	return string(data), nil
}
