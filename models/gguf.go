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

// Dequantizer decodes the bytes of n values of the given type to float32[n]. It must be safe for concurrent use.
// Callers pass it in, usually that of convert/ggmlquant, so that this package needs no cgo.
type Dequantizer func(kind gguf.Type, raw []byte, n int) ([]float32, error)

// GGUF is a model in a GGUF file whose architecture and tensors are checked. It implements Weights.
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
	unprunable error // see Unprunable

	digestMu sync.Mutex // guards digest
	digest   string

	statMu sync.Mutex  // guards stat
	stat   os.FileInfo // of the file at the time it was opened
}

var _ Weights = (*GGUF)(nil)

// OpenGGUF opens a model for reading. For a model that prunellm cannot compute it returns an error that wraps
// ErrUnsupported. dequantize may be nil if all tensors are plain floats. The caller must close the model.
func OpenGGUF(path string, dequantize Dequantizer) (*GGUF, error) {
	return openGGUF(path, dequantize, (*GGUF).check)
}

func openGGUF(path string, dequantize Dequantizer, check func(*GGUF) error) (*GGUF, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	g := &GGUF{path: path, file: file, dequantize: dequantize}
	if g.stat, err = file.Stat(); err == nil {
		err = check(g)
	}
	if err != nil {
		_ = file.Close() // only read: nothing to lose
		return nil, fmt.Errorf("open model %q: %w", path, err)
	}
	return g, nil
}

func (g *GGUF) check() (err error) {
	if g.config, err = ConfigFromGGUF(g.file); err != nil {
		return err
	}
	g.nameConfig()
	if faults := TensorFaults(g.file, g.config); len(faults) > 0 {
		return faults[0]
	}
	g.tokenizer, err = TokenizerFromGGUF(g.file, g.config.VocabSize)
	return err
}

func (g *GGUF) nameConfig() {
	if g.config.Name == "" {
		g.config.Name = fileStem(g.path)
	}
}

// TensorFaults returns an error for each tensor that is missing, has a wrong shape, has a type that holds no weights,
// or is not part of the architecture. The last two wrap ErrUnsupported, because such a model computes something else.
func TensorFaults(f *gguf.File, c Config) []error {
	var faults []error
	tensors := c.FileTensors()
	known := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		known[t.Name] = true
		info, ok := f.Tensor(t.Name)
		if !ok {
			faults = append(faults, fmt.Errorf("tensor %q: %w", t.Name, ErrNoTensor))
			continue
		}
		if !slices.Equal(info.Shape, t.Shape) {
			faults = append(faults, fmt.Errorf("tensor %q has shape %v instead of %v", t.Name, info.Shape, t.Shape))
		}
		if !HoldsWeights(info.Type) {
			faults = append(faults, fmt.Errorf("%w: tensor %q is of type %s", ErrUnsupported, t.Name, info.Type))
		}
	}
	for _, t := range f.Tensors {
		if !known[t.Name] {
			faults = append(faults, fmt.Errorf("%w: tensor %q is not part of architecture %q", ErrUnsupported, t.Name, c.Architecture))
		}
	}
	return faults
}

// HoldsWeights reports whether values of the type can be dequantized to float32.
func HoldsWeights(t gguf.Type) bool {
	switch t {
	case gguf.F32, gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.MXFP4,
		gguf.Q2_K, gguf.Q3_K, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K:
		return true
	}
	return false
}

// Config implements Weights.
func (g *GGUF) Config() Config { return g.config }

// Path returns the file's path as given to OpenGGUF.
func (g *GGUF) Path() string { return g.path }

// File returns the parsed container.
func (g *GGUF) File() *gguf.File { return g.file }

// Tokenizer returns the file's description of its vocabulary.
func (g *GGUF) Tokenizer() Tokenizer { return g.tokenizer }

// ServedName returns the model's name for clients, derived from the file's name.
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

// TensorInfo describes where a slot's values are in the file: in a tensor of their own, or in some rows of a fused
// tensor. It returns false if the file does not have them.
func (g *GGUF) TensorInfo(slot Slot) (gguf.TensorInfo, bool) {
	if !g.config.FusedQKV {
		return g.file.Tensor(slot.Name())
	}
	info, ok := g.file.Tensor(g.config.fileName(slot))
	if !ok || info.Name == slot.Name() {
		return info, ok
	}
	rowBytes := info.Size / int64(info.Shape[0])
	for _, role := range []Role{AttnQ, AttnK, AttnV} {
		rows := g.config.TensorShape(role, slot.Layer)[0]
		size := int64(rows) * rowBytes
		if role == slot.Role {
			info.Name, info.Shape, info.Size = slot.Name(), []int{rows, info.Shape[1]}, size
			break
		}
		info.Offset += size
	}
	return info, true
}

// Tensor implements Weights.
func (g *GGUF) Tensor(role Role, layer int) ([]float32, []int, error) {
	name := TensorName(role, layer)
	info, ok := g.TensorInfo(Slot{role, layer})
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

// DequantizeWith decodes the bytes of n values to float32[n]. It decodes plain floats itself and passes other types to
// d, which may be nil.
func DequantizeWith(d Dequantizer, kind gguf.Type, raw []byte, n int) ([]float32, error) {
	switch {
	case kind == gguf.F32 || (d == nil && (kind == gguf.F16 || kind == gguf.BF16)):
		return gguf.DecodeFloats(kind, raw, n)
	case d == nil:
		return nil, fmt.Errorf("%w: type %s needs a dequantizer", ErrUnsupported, kind)
	}
	return d(kind, raw, n)
}

// Digest returns the SHA-256 of the whole file in lower-case hexadecimal. It reads the file only the first time.
func (g *GGUF) Digest(ctx context.Context) (string, error) {
	g.digestMu.Lock()
	defer g.digestMu.Unlock()
	if g.digest != "" {
		return g.digest, nil
	}
	// Hash the open file, because path may lead to another file by now.
	digest, err := digestOf(ctx, io.NewSectionReader(g.file.Reader(), 0, g.file.Size))
	if err != nil {
		return "", fmt.Errorf("digest %q: %w", g.path, err)
	}
	g.digest = digest
	return digest, nil
}

// digestOf returns the SHA-256 of the bytes of r in lower-case hexadecimal.
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

// ErrChanged is wrapped by the error of Unchanged if the model's path no longer leads to the bytes that were opened.
var ErrChanged = errors.New("was replaced or changed since it was opened; restart to use the new file, or put the old one back")

// Unchanged returns an error that wraps ErrChanged if Path no longer leads to the bytes that were opened. A caller
// whose child process or library opens the path must call it before and after, to be sure that the results are from
// this model.
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
	// A copy of the same bytes, or a new modification time, is not a change.
	digest, err := g.Digest(ctx)
	if err != nil {
		return err
	}
	if !now.Mode().IsRegular() { // opening a pipe would block until it has a writer
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
