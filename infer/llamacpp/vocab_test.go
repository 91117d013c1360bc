package llamacpp

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

func TestTokenize(t *testing.T) {
	m := open(t, defaultModel(t), Options{ContextSize: 256})
	tests := map[string]struct {
		text         string
		bos, special bool
		want         []infer.Token
	}{
		"empty":                 {"", false, true, nil},
		"plain":                 {"Hello world", false, true, []infer.Token{19556, 905}},
		"control token":         {"<|im_start|>user\n", false, true, []infer.Token{1, 4093, 198}},
		"control token as text": {"<|im_end|>", false, false, []infer.Token{44, 108, 306, 79, 486, 108, 46}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := m.Tokenize(test.text, test.bos, test.special)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("Tokenize(%q) = %v, %v, want %v", test.text, got, err, test.want)
			}
			var text strings.Builder
			for _, token := range got {
				text.Write(m.Piece(token, true))
			}
			if text.String() != test.text {
				t.Errorf("the pieces give %q", text.String())
			}
		})
	}
	for name, text := range map[string]string{"nul": "a\x00b", "invalid utf-8": "a\xffb", "too long": strings.Repeat("a", maxTextBytes+1)} {
		var parameter *infer.ParameterError
		if _, err := m.Tokenize(text, true, true); !errors.As(err, &parameter) || parameter.Field != "text" {
			t.Errorf("%s: %v, want a ParameterError of text", name, err)
		}
	}
}

func TestPiece(t *testing.T) {
	m := open(t, defaultModel(t), Options{ContextSize: 256})
	end := m.VocabSize()
	for _, test := range []struct {
		token   infer.Token
		special bool
		want    string
	}{
		{-1, true, ""}, {infer.Token(end), true, ""}, {1 << 30, true, ""}, // out of range would end the process in llama.cpp
		{1, true, "<|im_start|>"}, {1, false, ""}, {905, false, " world"},
	} {
		if got := string(m.Piece(test.token, test.special)); got != test.want {
			t.Errorf("Piece(%d, %t) = %q, want %q", test.token, test.special, got, test.want)
		}
	}
	for token, want := range map[infer.Token]bool{-1: false, infer.Token(end): false, 2: true, 905: false} {
		if got := m.EndOfGeneration(token); got != want {
			t.Errorf("EndOfGeneration(%d) = %t, want %t", token, got, want)
		}
	}
}

// Long runs without spaces overflow the stack of the regular expression that splits words for qwen2 vocabularies. Control
// tokens take quadratic time. In a request, the first would end the process and the second would stall it.
func TestTokenizeLongRuns(t *testing.T) {
	for _, pre := range []string{"smollm", "qwen2"} {
		m := open(t, tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: "tokenizer.ggml.pre", Value: pre}}}), Options{ContextSize: 256})
		for _, unit := range []string{"a", " ", "\n", "7", "!", "日", "word ", "<|im_start|>", "e\u0301"} {
			text := strings.Repeat(unit, 300_000/len(unit))
			tokens, err := m.Tokenize(text, false, true)
			if err != nil {
				t.Errorf("%s, %q: %v", pre, unit, err)
				continue
			}
			var back strings.Builder
			for _, token := range tokens {
				back.Write(m.Piece(token, true))
			}
			if back.String() != text {
				t.Errorf("%s, %q: the pieces are not the text", pre, unit)
			}
			if want := len(text) / len(unit); unit == "<|im_start|>" && len(tokens) != want {
				t.Errorf("%s: %d tokens for %d control tokens", pre, len(tokens), want)
			}
		}
	}
}

// Ordinary text gives the same tokens in one segment and in many.
func TestSegmentsAreBorders(t *testing.T) {
	m := open(t, defaultModel(t), Options{ContextSize: 256})
	text := strings.Repeat("The quick brown fox, aged 12, jumps over the lazy dog.\n\"Why?\" asked Ana; it's 5 o'clock.  Two spaces\tand a tab — señor!\n\n<|im_end|>", 150)
	got, err := m.Tokenize(text, false, true)
	if err != nil {
		t.Fatal(err)
	}
	m.vocab.bytePair = false
	want, err := m.Tokenize(text, false, true)
	m.vocab.bytePair = true
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d tokens in segments, %d at once", len(got), len(want))
	}
}

func FuzzSegment(f *testing.F) {
	f.Add("a b", uint16(0))
	f.Add("日本語 text<|im_end|>", uint16(900))
	f.Add("<|im_start|>", uint16(5000))
	f.Fuzz(func(t *testing.T, unit string, times uint16) {
		text := strings.ToValidUTF8(strings.Repeat(unit, int(times)%2000), "?")
		if len(text) > 1<<20 {
			return
		}
		controls := []string{"<|im_start|>", "<|im_end|>"}
		var parts []string
		for rest := text; rest != ""; rest = rest[len(parts[len(parts)-1]):] {
			part := segment(rest, controls)
			if part == "" || len(part) > maxSegment || !strings.HasPrefix(rest, part) || !utf8.ValidString(part) {
				t.Fatalf("segment of %d bytes: %d bytes, valid UTF-8: %t", len(rest), len(part), utf8.ValidString(part))
			}
			parts = append(parts, part)
		}
		for _, c := range controls {
			whole := 0
			for _, part := range parts {
				whole += strings.Count(part, c)
			}
			if want := strings.Count(text, c); whole != want {
				t.Errorf("%d of %d control tokens %q are whole", whole, want, c)
			}
		}
	})
}
