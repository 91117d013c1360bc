package calibration

import (
	"context"
	"errors"
	"strings"
	"testing"

	"prunellm/infer"
)

// letters is a Tokenizer with a token for each byte. It records the length of the longest text.
type letters struct {
	longest int
	after   func()
}

func (l *letters) Tokenize(text string, _, _ bool) ([]infer.Token, error) {
	l.longest = max(l.longest, len(text))
	if l.after != nil {
		l.after()
	}
	tokens := make([]infer.Token, len(text))
	for i := range len(text) {
		tokens[i] = infer.Token(text[i])
	}
	return tokens, nil
}

func TestPieceEnd(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{
		{"all of it", 100, "all of it"},
		{"one\ntwo\nthree", 9, "one\ntwo\n"},
		{"one\ntwo\n\n", 8, "one\n"},    // one token may contain both line ends
		{"one\ntwo\n x y", 10, "one\n"}, // a token may cross the beginning of an indented line
		{"no lines at all", 6, "no lin"},
		{"aé", 2, "a"},
		{"é", 1, "\xc3"}, // at least one byte, even if that splits a character
		{"\n\n\n\n", 2, "\n\n"},
		{"abc\ndef", 4, "abc\n"},
	} {
		if got := test.text[:pieceEnd(test.text, test.limit)]; got != test.want {
			t.Errorf("pieceEnd(%q, %d) cuts %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

func TestTokenize(t *testing.T) {
	text := strings.Repeat("a line of text\n", 200_000)
	vocabulary, bytes := &letters{}, 0
	tokens, err := Tokenize(t.Context(), vocabulary, text, false, func(n int) { bytes += n })
	if err != nil || len(tokens) != len(text) || bytes != len(text) || vocabulary.longest > tokenizePieceBytes {
		t.Fatalf("%d tokens of %d, %d bytes shown, pieces up to %d, %v", len(tokens), len(text), bytes, vocabulary.longest, err)
	}
	for i, token := range tokens {
		if byte(token) != text[i] {
			t.Fatalf("token %d is %q, want %q", i, byte(token), text[i])
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Tokenize(ctx, &letters{after: cancel}, text, false, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Tokenize continues after ctx ended: %v", err)
	}
}
