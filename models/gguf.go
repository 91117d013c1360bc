package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"prunellm/models/gguf"
)

// Dequantizer turns the bytes of n values of the given type into float32[n]. convert/ggmlquant has one; this package
// stays free of cgo. It must be safe for concurrent use.
type Dequantizer func(kind gguf.Type, raw []byte, n int) ([]float32, error)

// GGUF is a model in a GGUF file whose architecture and tensors were checked. It implements Weights.
//
// # Concurrency
//
// All methods but Close may be called from several goroutines.
type GGUF struct {
	path       string
	file       *gguf.File
	config     Config
	tokenizer  Tokenizer
	dequantize Dequantizer

	digestMu sync.Mutex // guards digest
	digest   string

	statMu sync.Mutex  // guards stat
	stat   os.FileInfo // of the file as it was opened
}

var _ Weights = (*GGUF)(nil)

// OpenGGUF opens a model for reading. A model that prunellm cannot compute gives an error that wraps ErrUnsupported.
// dequantize may be nil when all tensors are plain floats. The caller closes the model.
func OpenGGUF(path string, dequantize Dequantizer) (*GGUF, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	g := &GGUF{path: path, file: file, dequantize: dequantize}
	if g.stat, err = file.Stat(); err == nil {
		err = g.check()
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, fmt.Errorf("open model %q: %w", path, err)
	}
	return g, nil
}

func (g *GGUF) check() (err error) {
	if g.config, err = ConfigFromGGUF(g.file); err != nil {
		return err
	}
	if g.config.Name == "" {
		g.config.Name = fileStem(g.path)
	}
	if faults := TensorFaults(g.file, g.config); len(faults) > 0 {
		return faults[0]
	}
	g.tokenizer, err = TokenizerFromGGUF(g.file, g.config.VocabSize)
	return err
}

// TensorFaults compares a file's tensors with those that the architecture has: missing, of another shape, of a type
// that holds no weights, or unknown. Unknown ones wrap ErrUnsupported: the model computes something that we do not.
func TensorFaults(f *gguf.File, c Config) []error {
	var faults []error
	slots := c.Slots()
	known := make(map[string]bool, len(slots))
	for _, slot := range slots {
		name := slot.Name()
		known[name] = true
		info, ok := f.Tensor(name)
		if !ok {
			faults = append(faults, fmt.Errorf("tensor %q: %w", name, ErrNoTensor))
			continue
		}
		if want := c.TensorShape(slot.Role, slot.Layer); !slices.Equal(info.Shape, want) {
			faults = append(faults, fmt.Errorf("tensor %q has shape %v, want %v", name, info.Shape, want))
		}
		if !weightType(info.Type) {
			faults = append(faults, fmt.Errorf("%w: tensor %q is of type %s", ErrUnsupported, name, info.Type))
		}
	}
	for _, t := range f.Tensors {
		if !known[t.Name] {
			faults = append(faults, fmt.Errorf("%w: tensor %q is not part of architecture %q", ErrUnsupported, t.Name, c.Architecture))
		}
	}
	return faults
}

// weightType tells whether values of the type can be turned into float32.
func weightType(t gguf.Type) bool {
	switch t {
	case gguf.F32, gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.MXFP4,
		gguf.Q2_K, gguf.Q3_K, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K:
		return true
	}
	return false
}

// Config implements Weights.
func (g *GGUF) Config() Config { return g.config }

// Path is the file's path as given to OpenGGUF.
func (g *GGUF) Path() string { return g.path }

// File is the parsed container.
func (g *GGUF) File() *gguf.File { return g.file }

// Tokenizer is what the file says about its vocabulary.
func (g *GGUF) Tokenizer() Tokenizer { return g.tokenizer }

// ServedName is the name under which the model is offered to clients, made from the file's name.
func (g *GGUF) ServedName() string {
	if name := ServedName(filepath.Base(g.path)); name != "" {
		return name
	}
	if name := ServedName(g.config.Name); name != "" {
		return name
	}
	return "model"
}

// Close closes the file. It is idempotent.
func (g *GGUF) Close() error { return g.file.Close() }

// Tensor implements Weights.
func (g *GGUF) Tensor(role Role, layer int) ([]float32, []int, error) {
	name := TensorName(role, layer)
	info, ok := g.file.Tensor(name)
	if !ok {
		return nil, nil, fmt.Errorf("tensor %q of %q: %w", name, g.path, ErrNoTensor)
	}
	raw, err := g.file.ReadTensor(info)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: %w", g.path, err)
	}
	values, err := DequantizeWith(g.dequantize, info.Type, raw, int(info.Elements()))
	if err != nil {
		return nil, nil, fmt.Errorf("tensor %q of %q: %w", name, g.path, err)
	}
	return values, slices.Clone(info.Shape), nil
}

// DequantizeWith decodes plain floats itself and leaves the other types to d, which may be nil.
func DequantizeWith(d Dequantizer, kind gguf.Type, raw []byte, n int) ([]float32, error) {
	switch {
	case kind == gguf.F32 || (d == nil && (kind == gguf.F16 || kind == gguf.BF16)):
		return gguf.DecodeFloats(kind, raw, n)
	case d == nil:
		return nil, fmt.Errorf("%w: type %s needs a dequantizer", ErrUnsupported, kind)
	}
	return d(kind, raw, n)
}

// Digest is the SHA-256 of the whole file in lower-case hexadecimal. It is computed once.
func (g *GGUF) Digest(ctx context.Context) (string, error) {
	g.digestMu.Lock()
	defer g.digestMu.Unlock()
	if g.digest != "" {
		return g.digest, nil
	}
	// Of the file that was checked, whatever path names now.
	digest, err := digestOf(ctx, io.NewSectionReader(g.file.Reader(), 0, g.file.Size))
	if err != nil {
		return "", fmt.Errorf("digest %q: %w", g.path, err)
	}
	g.digest = digest
	return digest, nil
}

// digestOf is the SHA-256 of all that r gives, in lower-case hexadecimal.
func digestOf(ctx context.Context, r io.Reader) (string, error) {
	hash := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.Read(buffer)
		hash.Write(buffer[:n])
		if err == io.EOF {
			return hex.EncodeToString(hash.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// ErrChanged is wrapped when a model's path leads to another file than the one that was opened.
var ErrChanged = errors.New("was replaced or changed since it was opened: start again with the new file, or put the old one back")

// Unchanged reports an error that wraps ErrChanged when Path leads to other bytes than those that were opened. Whoever has another process
// or library open the path asks before and afterwards: what they compute would be another model's.
func (g *GGUF) Unchanged(ctx context.Context) error {
	g.statMu.Lock()
	defer g.statMu.Unlock()
	now, err := os.Stat(g.path)
	if err != nil {
		return fmt.Errorf("model %q: %w", g.path, err)
	}
	if os.SameFile(now, g.stat) && now.Size() == g.stat.Size() && now.ModTime().Equal(g.stat.ModTime()) {
		return nil
	}
	// A copy, or a new time, of the same bytes is no change.
	digest, err := g.Digest(ctx)
	if err != nil {
		return err
	}
	if !now.Mode().IsRegular() { // opening a pipe would wait for its writer
		return fmt.Errorf("model %q %w", g.path, ErrChanged)
	}
	file, err := os.Open(g.path)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer file.Close()
	other, err := digestOf(ctx, file)
	switch {
	case err != nil:
		return fmt.Errorf("digest %q: %w", g.path, err)
	case other != digest:
		return fmt.Errorf("model %q %w", g.path, ErrChanged)
	}
	g.stat = now
	return nil
}

func fileStem(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
