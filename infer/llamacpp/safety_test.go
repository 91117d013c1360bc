package llamacpp

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// Each of these would end the process, or read out of bounds, if it reached llama.cpp.
func TestDecodeRefuses(t *testing.T) {
	m := open(t, tiny(t, tinymodel.Options{}), Options{ContextSize: 256, Sequences: 2, BatchSize: 8})
	decode(t, m, infer.Entry{Token: 1}, infer.Entry{Token: 2, Position: 1, Logits: true})
	tests := map[string]struct {
		entries []infer.Entry
		want    string
	}{
		"nothing":              {nil, "0 entries"},
		"above the batch size": {make([]infer.Entry, 9), "9 entries, must be 1 to 8"},
		"token too high":       {[]infer.Entry{{Token: infer.Token(m.VocabSize()), Position: 2}}, "not one of the vocabulary"},
		"token negative":       {[]infer.Entry{{Token: -1, Position: 2}}, "not one of the vocabulary"},
		"sequence too high":    {[]infer.Entry{{Sequence: 2}}, "sequence 2 is not one of 2"},
		"sequence negative":    {[]infer.Entry{{Sequence: -1}}, "sequence -1"},
		"position again":       {[]infer.Entry{{Position: 1}}, "position 1 does not follow the 2 tokens"},
		"position skipped":     {[]infer.Entry{{Position: 2}, {Position: 4}}, "position 4 does not follow the 3 tokens"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := m.Decode(test.entries); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Decode: %v, want %q", err, test.want)
			}
		})
	}
	// Refused batches change nothing.
	decode(t, m, infer.Entry{Token: 3, Position: 2, Logits: true})
	if m.SequenceLength(0) != 3 || m.SequenceLength(1) != 0 || m.SequenceLength(7) != 0 {
		t.Errorf("lengths %d and %d, want 3 and 0", m.SequenceLength(0), m.SequenceLength(1))
	}
	for i := 3; i < 256; i++ {
		decode(t, m, infer.Entry{Token: 3, Position: i})
	}
	if err := m.Decode([]infer.Entry{{Token: 3, Position: 256}}); err == nil || !strings.Contains(err.Error(), "beyond the context of 256") {
		t.Errorf("Decode beyond the context: %v", err)
	}
}

func TestLogitsRefuses(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.F32, gguf.Q8_0} {
		m := open(t, tiny(t, tinymodel.Options{Type: kind}), Options{ContextSize: 256})
		if got := m.Logits(0); got != nil {
			t.Errorf("%s: logits before any Decode: %d", kind, len(got))
		}
		decode(t, m, infer.Entry{Token: 1}, infer.Entry{Token: 2, Position: 1, Logits: true}, infer.Entry{Token: 3, Position: 2})
		for _, index := range []int{-1, 0, 2, 3, 1 << 30} {
			if got := m.Logits(index); got != nil {
				t.Errorf("%s: logits of entry %d, which did not request them: %d", kind, index, len(got))
			}
		}
		if got := m.Logits(1); len(got) != m.VocabSize() {
			t.Errorf("%s: %d logits, want %d", kind, len(got), m.VocabSize())
		}
	}
}

func TestSequencesRefuse(t *testing.T) {
	m := open(t, tiny(t, tinymodel.Options{}), Options{ContextSize: 256, Sequences: 2})
	for i := range 5 {
		decode(t, m, infer.Entry{Token: infer.Token(i), Position: i})
	}
	tests := map[string]struct {
		call func() error
		want string
	}{
		"remove, sequence":  {func() error { return m.SequenceRemove(2, 0, -1) }, "sequence 2"},
		"remove, negative":  {func() error { return m.SequenceRemove(-1, 0, -1) }, "sequence -1"},
		"remove, from":      {func() error { return m.SequenceRemove(0, -3, -1) }, "negative"},
		"remove, middle":    {func() error { return m.SequenceRemove(0, 1, 3) }, "only its end"},
		"copy, source":      {func() error { return m.SequenceCopy(9, 0) }, "sequence 9"},
		"copy, destination": {func() error { return m.SequenceCopy(0, -2) }, "sequence -2"},
		"save":              {func() error { _, err := m.SaveSequence(4); return err }, "sequence 4"},
		"restore":           {func() error { return m.RestoreSequence(4, []byte{1}, 1) }, "sequence 4"},
		"restore nothing":   {func() error { return m.RestoreSequence(1, nil, 1) }, "0 bytes"},
		"restore too long":  {func() error { return m.RestoreSequence(1, []byte{1}, 257) }, "257 tokens"},
		"restore rubbish":   {func() error { return m.RestoreSequence(1, make([]byte, 64), 3) }, "instead of 3"},
		"threads":           {func() error { return m.SetThreads(0, 1) }, "must be 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := test.call(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := errors.Join(m.SequenceRemove(0, 5, -1), m.SequenceRemove(0, 9, 12), m.SequenceRemove(0, 3, 99), m.SequenceCopy(0, 0), m.SetThreads(1, 2)); err != nil || m.SequenceLength(0) != 3 {
		t.Errorf("harmless calls: %v, length %d, want 3", err, m.SequenceLength(0))
	}
	// Callers copy a part by a copy and a removal.
	if err := errors.Join(m.SequenceCopy(0, 1), m.SequenceRemove(1, 1, -1)); err != nil {
		t.Fatal(err)
	}
	decode(t, m, infer.Entry{Token: 1, Position: 3}, infer.Entry{Token: 1, Position: 1, Sequence: 1})
}

func TestAfterClose(t *testing.T) {
	m := open(t, tiny(t, tinymodel.Options{}), Options{ContextSize: 256})
	decode(t, m, infer.Entry{Token: 1, Logits: true})
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	_, tokenize := m.Tokenize("a", true, true)
	_, save := m.SaveSequence(0)
	for name, err := range map[string]error{
		"decode": m.Decode([]infer.Entry{{Token: 1, Position: 1}}), "tokenize": tokenize, "save": save,
		"remove": m.SequenceRemove(0, 0, -1), "copy": m.SequenceCopy(0, 0), "threads": m.SetThreads(1, 1), "restore": m.RestoreSequence(0, []byte{1}, 1),
	} {
		if !errors.Is(err, infer.ErrEngine) {
			t.Errorf("%s after Close: %v, want ErrEngine", name, err)
		}
	}
	if m.Logits(0) != nil {
		t.Error("logits after Close")
	}
}

func TestOpenRefusesOptions(t *testing.T) {
	path := tiny(t, tinymodel.Options{})
	for name, test := range map[string]struct {
		options Options
		field   string
	}{
		"sequences":     {Options{Sequences: 65}, "sequences"},
		"negative":      {Options{Sequences: -1}, "sequences"},
		"batch":         {Options{BatchSize: 1 << 20}, "batch_size"},
		"threads":       {Options{Threads: 100000}, "threads"},
		"batch threads": {Options{BatchThreads: -1}, "batch_threads"},
		"context":       {Options{ContextSize: -1}, "context_size"},
		"huge context":  {Options{ContextSize: 1 << 24, Sequences: 2}, "context_size"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(context.Background(), path, test.options)
			var parameter *infer.ParameterError
			if !errors.As(err, &parameter) || parameter.Field != test.field {
				t.Errorf("Open: %v, want a ParameterError of %s", err, test.field)
			}
		})
	}
}

func TestOpenRefusesFiles(t *testing.T) {
	good := tiny(t, tinymodel.Options{Architecture: "deci"})
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := map[string]string{
		"missing":   filepath.Join(folder, "nothing.gguf"),
		"folder":    folder,
		"empty":     file("empty.gguf", nil),
		"foreign":   file("foreign.gguf", []byte(strings.Repeat("not a model ", 100))),
		"truncated": file("truncated.gguf", data[:len(data)-100]),
		"header":    file("header.gguf", data[:200]),
		// llama.cpp skips a whole layer of width 0, including its attention.
		"width 0":        tiny(t, tinymodel.Options{Architecture: "deci", Keys: []gguf.KV{{Key: "deci.feed_forward_length", Value: []int32{96, 0}}}}),
		"negative width": tiny(t, tinymodel.Options{Architecture: "deci", Keys: []gguf.KV{{Key: "deci.feed_forward_length", Value: []int32{96, -5}}}}),
		"other widths":   tiny(t, tinymodel.Options{Architecture: "deci", Keys: []gguf.KV{{Key: "deci.feed_forward_length", Value: []int32{96, 64}}}}),
		"no heads":       tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: "llama.attention.head_count", Value: uint32(0)}}}),
		"many layers":    tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: "llama.block_count", Value: uint32(1 << 30)}}}),
		"no vocabulary":  tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: "tokenizer.ggml.tokens", Value: []string{}}}}),
		"architecture":   tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: "general.architecture", Value: "mamba9"}}}),
	}
	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := Open(context.Background(), path, Options{ContextSize: 256})
			if err == nil {
				m.Close()
				t.Fatal("Open: no error")
			}
			if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Open: %q, want one line that names the file", err)
			}
			t.Log(err)
		})
	}
}

func TestOpenObeysItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, tiny(t, tinymodel.Options{}), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want canceled", err)
	}
}
