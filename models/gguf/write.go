package gguf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"

	"prunellm/internal/exact"
	"prunellm/internal/regularfile"
)

// Source describes a tensor to write.
type Source struct {
	Name  string
	Type  Type
	Shape []int // slowest axis first
	// Write writes the tensor's bytes in order. It must write exactly as many as type and shape require.
	Write func(ctx context.Context, w io.Writer) error
}

// Write writes a GGUF version 3 file with keys and tensors in the given order. The same arguments give the same bytes.
// Write is atomic: if it returns nil, the file is complete and on stable storage; if it fails, path keeps its old
// content. Write also sends the bytes to the writers in also, such as a hash. If it fails, they may have received part
// of the file.
func Write(ctx context.Context, path string, keys []KV, tensors []Source, also ...io.Writer) error {
	wrap := func(err error) error { return fmt.Errorf("write gguf %q: %w", path, err) }
	plan, err := layOut(keys, tensors)
	if err != nil {
		return wrap(err)
	}
	dir := filepath.Dir(path)
	if err := checkSpace(dir, plan.size); err != nil {
		return wrap(err)
	}
	err = exact.File(path, func(w io.Writer) error {
		return plan.write(ctx, io.MultiWriter(append([]io.Writer{w}, also...)...))
	})
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: the file needs %d MiB in %s", err, plan.size>>20+1, dir)
	}
	if err != nil {
		return wrap(err)
	}
	return nil
}

// checkSpace returns an error if the file system of dir reports fewer than size free bytes, so that a full disk shows
// up before minutes of work. It returns nil if the file system reports nothing.
func checkSpace(dir string, size int64) error {
	if free, known := regularfile.FreeSpace(dir); known && free < size {
		return fmt.Errorf("%w: the file needs %d MiB in %s, but only %d MiB are free", syscall.ENOSPC, size>>20+1, dir, free>>20)
	}
	return nil
}

// Encode writes the bytes that Write puts into a file to w.
func Encode(ctx context.Context, w io.Writer, keys []KV, tensors []Source) error {
	plan, err := layOut(keys, tensors)
	if err != nil {
		return fmt.Errorf("write gguf: %w", err)
	}
	if err := plan.write(ctx, w); err != nil {
		return fmt.Errorf("write gguf: %w", err)
	}
	return nil
}

// plan is the layout of a file, with its metadata encoded.
type plan struct {
	head    []byte // header and metadata, padded to the alignment
	tensors []Source
	sizes   []int64 // bytes of each tensor
	align   int64
	size    int64 // bytes of the file
}

func layOut(keys []KV, tensors []Source) (*plan, error) {
	if len(keys) > MaxKeys || len(tensors) > MaxTensors {
		return nil, fmt.Errorf("%d keys and %d tensors; the limits are %d and %d", len(keys), len(tensors), MaxKeys, MaxTensors)
	}
	p := &plan{tensors: tensors, align: DefaultAlignment}
	e := encoder{}
	e.bytes = append(e.bytes, magic...)
	e.uint32(3)
	e.uint64(uint64(len(tensors)))
	e.uint64(uint64(len(keys)))
	seen := map[string]bool{}
	for _, kv := range keys {
		if err := p.key(&e, kv, seen); err != nil {
			return nil, err
		}
	}
	clear(seen)
	var offset int64
	for _, t := range tensors {
		size, err := p.tensor(&e, t, offset, seen)
		if err != nil {
			return nil, err
		}
		p.sizes = append(p.sizes, size)
		offset += p.pad(size)
	}
	e.bytes = append(e.bytes, make([]byte, p.pad(int64(len(e.bytes)))-int64(len(e.bytes)))...)
	if len(e.bytes) > MaxMetadataBytes {
		return nil, fmt.Errorf("metadata of %d bytes; the limit is %d", len(e.bytes), MaxMetadataBytes)
	}
	p.head = e.bytes
	p.size = int64(len(e.bytes)) + offset
	return p, nil
}

func (p *plan) key(e *encoder, kv KV, seen map[string]bool) error {
	if err := checkName(kv.Key); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if len(kv.Key) > MaxKeyBytes || seen[kv.Key] {
		return fmt.Errorf("key %q appears twice or is longer than %d bytes", kv.Key, MaxKeyBytes)
	}
	seen[kv.Key] = true
	if kv.Key == AlignmentKey {
		align, ok := kv.Value.(uint32)
		if !ok || align == 0 || align > MaxAlignment || align&(align-1) != 0 {
			return fmt.Errorf("alignment is %v but must be a uint32 power of two up to %d", kv.Value, MaxAlignment)
		}
		p.align = int64(align)
	}
	e.string(kv.Key)
	if err := e.value(kv.Value); err != nil {
		return fmt.Errorf("key %q: %w", kv.Key, err)
	}
	return nil
}

func (p *plan) tensor(e *encoder, t Source, offset int64, seen map[string]bool) (int64, error) {
	if err := checkName(t.Name); err != nil {
		return 0, fmt.Errorf("tensor: %w", err)
	}
	if len(t.Name) > MaxNameBytes || seen[t.Name] {
		return 0, fmt.Errorf("tensor %q appears twice or has a name longer than %d bytes", t.Name, MaxNameBytes)
	}
	seen[t.Name] = true
	size, err := checkShape(t.Type, t.Shape)
	if err != nil {
		return 0, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	e.string(t.Name)
	e.uint32(uint32(len(t.Shape)))
	for i := range t.Shape {
		e.uint64(uint64(t.Shape[len(t.Shape)-1-i]))
	}
	e.uint32(uint32(t.Type))
	e.uint64(uint64(offset))
	return size, nil
}

func checkShape(kind Type, shape []int) (int64, error) {
	if len(shape) == 0 || len(shape) > MaxDims {
		return 0, fmt.Errorf("%d dimensions; there must be 1 to %d", len(shape), MaxDims)
	}
	n := int64(1)
	for _, d := range shape {
		if d <= 0 || int64(d) > 1<<31-1 || n > 1<<59/int64(d) {
			return 0, fmt.Errorf("shape %v is out of range", shape)
		}
		n *= int64(d)
	}
	if _, err := kind.Size(int64(shape[len(shape)-1])); err != nil {
		return 0, err
	}
	return kind.Size(n)
}

func (p *plan) pad(n int64) int64 { return (n + p.align - 1) / p.align * p.align }

func (p *plan) write(ctx context.Context, w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	if _, err := buffered.Write(p.head); err != nil {
		return err
	}
	zeros := make([]byte, p.align)
	for i, t := range p.tensors {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := exact.Tensor(ctx, buffered, p.sizes[i], t.Write); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if _, err := buffered.Write(zeros[:p.pad(p.sizes[i])-p.sizes[i]]); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return buffered.Flush()
}
