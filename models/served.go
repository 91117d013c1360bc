package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// OpenServable is like OpenGGUF, for a caller that serves the file unpruned. It also opens models that prunellm cannot
// compute. The Config of such a model has a name, a vocabulary, a hidden size and a context length, but no layers;
// Unprunable says why. OpenServable does not check whether llama.cpp can run the model.
func OpenServable(path string, dequantize Dequantizer) (*GGUF, error) {
	return openGGUF(path, dequantize, func(g *GGUF) error {
		reason := g.check()
		if !onlyServed(g.file, reason) {
			return reason
		}
		var err error
		if g.config, err = servedConfig(g.file); err != nil {
			return err
		}
		g.nameConfig()
		g.unprunable = &UnprunableError{reason}
		g.tokenizer, err = TokenizerFromGGUF(g.file, g.config.VocabSize)
		return err
	})
}

// onlyServed reports whether llama.cpp may still be able to run a model that prunellm cannot compute for the given
// reason.
func onlyServed(f *gguf.File, reason error) bool {
	name, err := f.String("general.architecture")
	return errors.Is(reason, ErrUnsupported) && err == nil && arch.Served(name)
}

// UnprunableReason returns an *UnprunableError for a sound file that OpenServable opens and OpenGGUF does not: its
// architecture has no row, or only llama.cpp can read its type of weights. Otherwise it returns nil.
func UnprunableReason(f *gguf.File) error {
	config, reason := ConfigFromGGUF(f)
	if reason == nil {
		others := 0
		for _, t := range f.Tensors {
			if !HoldsWeights(t.Type) {
				others++
			}
		}
		if faults := TensorFaults(f, config); others > 0 && len(faults) == others {
			reason = faults[0]
		}
	}
	if !onlyServed(f, reason) || expertsMissing(f) || !readable(f) {
		return nil
	}
	return &UnprunableError{reason}
}

// readable reports whether a file that cannot be pruned has the sizes and the tokenizer that serving needs.
func readable(f *gguf.File) bool {
	config, err := servedConfig(f)
	if err == nil {
		_, err = TokenizerFromGGUF(f, config.VocabSize)
	}
	return err == nil
}

// expertsMissing reports whether a file's keys declare experts for which it has no tensors.
func expertsMissing(f *gguf.File) bool {
	name, _ := f.String("general.architecture")
	n, err := f.Int(name + ".expert_count")
	return err == nil && n > 0 && !slices.ContainsFunc(f.Tensors, func(t gguf.TensorInfo) bool { return strings.HasSuffix(t.Name, ".ffn_gate_inp.weight") })
}

// UnprunableError says why a model cannot be pruned, only served. It wraps ErrUnsupported.
type UnprunableError struct{ Reason error }

// Error implements error.
func (e *UnprunableError) Error() string {
	reason, _, _ := strings.Cut(strings.TrimPrefix(e.Reason.Error(), ErrUnsupported.Error()+": "), "; use ")
	return fmt.Sprintf("cannot be pruned: %s; only dense models of architecture %s can; ratio 0 serves this model unpruned", reason, arch.Names())
}

// Unwrap returns the reason.
func (e *UnprunableError) Unwrap() error { return e.Reason }

// Unprunable returns an *UnprunableError for a model that cannot be pruned, only served. Otherwise it returns nil.
func (g *GGUF) Unprunable() error { return g.unprunable }

// Parameters returns the number of weights of the model.
func (g *GGUF) Parameters() int64 {
	if g.unprunable == nil {
		return g.config.Parameters(nil)
	}
	var total int64
	for _, t := range g.file.Tensors {
		total += t.Elements()
	}
	return total
}

// servedConfig describes a model of any architecture. It returns an error for a model that the engine cannot serve.
func servedConfig(f *gguf.File) (Config, error) {
	r := &ggufReader{file: f}
	c := Config{Architecture: r.string("general.architecture")}
	r.arch = c.Architecture
	c.Name = r.stringOr("general.name", "")
	c.HiddenSize, c.ContextLength = r.int("embedding_length"), r.int("context_length")
	r.refuseServing()
	if r.err != nil {
		return Config{}, r.err
	}
	for _, field := range []struct {
		key        string
		value, max int
	}{{"embedding_length", c.HiddenSize, MaxHidden}, {"context_length", c.ContextLength, MaxContext}} {
		if field.value < 1 || field.value > field.max {
			return Config{}, fmt.Errorf("key %q is %d but must be 1 to %d", r.key(field.key), field.value, field.max)
		}
	}
	embedding, ok := f.Tensor(TensorName(TokenEmbedding, 0))
	if !ok || len(embedding.Shape) != 2 || embedding.Shape[0] > MaxVocab {
		return Config{}, fmt.Errorf("tensor %q: %w", TensorName(TokenEmbedding, 0), ErrNoTensor)
	}
	c.VocabSize = embedding.Shape[0]
	return c, nil
}
