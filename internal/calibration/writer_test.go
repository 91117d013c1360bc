package calibration

import (
	"slices"
	"testing"

	"prunellm/infer"
)

// writerOf returns a writer with n openings and n requests. Each has its own first token and long tokens.
func writerOf(n, long int) *textWriter {
	w := &textWriter{chat: []infer.Token{9000, 9001}}
	for i := range n {
		w.openings = append(w.openings, slices.Repeat([]infer.Token{infer.Token(1000 + i)}, long))
		w.requests = append(w.requests, slices.Repeat([]infer.Token{infer.Token(2000 + i)}, long))
	}
	return w
}

// A writer uses each opening and request once, samples each text with its own seed, and continues chats to the end of
// the answer.
func TestTextStarts(t *testing.T) {
	const texts, length = 40, 256
	w := writerOf(texts, 20)
	seen, seeds := map[infer.Token]bool{}, map[uint64]bool{}
	chats, openings, requests := 0, 0, 0
	for text := range texts {
		begin := w.start(text, length, 7)
		if seeds[begin.seed] {
			t.Errorf("text %d has the same seed as another", text)
		}
		seeds[begin.seed] = true
		first, ends := begin.tokens[0], 1
		switch {
		case first >= 9000:
			chats++
			ends = 2
		case first >= 2000:
			requests++
		default:
			openings++
		}
		if begin.ends != ends {
			t.Errorf("text %d ends at end-of-generation token %d, want %d", text, begin.ends, ends)
		}
		if first < 9000 && seen[first] {
			t.Errorf("text %d begins like another", text)
		}
		seen[first] = true
	}
	if chats == 0 || openings == 0 || requests == 0 {
		t.Errorf("%d chats, %d openings and %d requests, want some of each", chats, openings, requests)
	}
	for text := range texts {
		if a, b := w.start(text, length, 7), w.start(text, length, 7); a.seed != b.seed || !slices.Equal(a.tokens, b.tokens) {
			t.Errorf("text %d begins differently the second time", text)
		}
	}
}

// A model without a chat template writes only from openings. A beginning that does not leave half of a sequence is
// truncated, but the prompt of a chat or a request is never truncated.
func TestTextStartsFit(t *testing.T) {
	bare := writerOf(8, 20)
	bare.chat, bare.requests = nil, nil
	seen := map[infer.Token]bool{}
	for text := range 8 {
		begin := bare.start(text, 256, 1)
		if begin.tokens[0] >= 2000 || begin.ends != 1 || seen[begin.tokens[0]] {
			t.Errorf("without a template, text %d begins with %d, want an unused opening", text, begin.tokens[0])
		}
		seen[begin.tokens[0]] = true
	}
	small := writerOf(8, 20)
	small.chat = slices.Repeat(small.chat, 10)
	for text := range 8 {
		if begin := small.start(text, 16, 1); len(begin.tokens) != 8 || begin.tokens[0] >= 2000 {
			t.Errorf("in a sequence of 16 tokens, text %d begins with %d tokens of %d", text, len(begin.tokens), begin.tokens[0])
		}
	}
}
