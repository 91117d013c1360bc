package infer

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// TestInfillSampler follows the steps of llama.cpp's sampler by hand. Tokens are bytes, 256 ends the answer, and 257 to 259 have no
// text in the fake.
func TestInfillSampler(t *testing.T) {
	f := &infill{dec: newFake(1, 8, 8), end: fakeEOS}
	c := func(token Token, prob float32) candidate { return candidate{token: token, prob: prob} }
	for name, test := range map[string]struct{ given, want []candidate }{
		"an end is likely":           {[]candidate{c('a', 0.75), c('b', 0.1), c(fakeEOS, 0.15)}, []candidate{c(fakeEOS, 0.15)}},
		"an end is not":              {[]candidate{c('a', 0.85), c('b', 0.1), c(fakeEOS, 0.05)}, []candidate{c('a', 0.85), c(fakeEOS, 0.05)}},
		"unlikely texts":             {[]candidate{c('b', 0.25), c('a', 0.65), c('d', 0.1)}, []candidate{c('a', 0.65)}},
		"nearly equal":               {[]candidate{c('b', 0.5), c('a', 0.5)}, []candidate{c('a', 0.5), c('b', 0.5)}},
		"none is likely enough":      {[]candidate{c('a', 0.19), c('b', 0.19), c('d', 0.19), c('e', 0.19), c('f', 0.24-0.06), c('g', 0.06)}, []candidate{c(fakeEOS, 1)}},
		"any scale of probabilities": {[]candidate{c('a', 85), c('b', 10), c(fakeEOS, 5)}, []candidate{c('a', 85), c(fakeEOS, 5)}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := f.keep(slices.Clone(test.given)); !slices.Equal(got, test.want) {
				t.Errorf("keep(%v) = %v, want %v", test.given, got, test.want)
			}
		})
	}
}

// pieceDecoder has pieces of more than a byte.
type pieceDecoder struct {
	*fakeDecoder
	pieces map[Token]string
}

func (d pieceDecoder) Piece(t Token, _ bool) []byte { return []byte(d.pieces[t]) }

// TestInfillMerges: tokens that begin alike count as the likelier one.
func TestInfillMerges(t *testing.T) {
	d := pieceDecoder{newFake(1, 8, 8), map[Token]string{1: "re", 2: "return", 3: "raise", 4: "ret"}}
	f := &infill{dec: d, end: fakeEOS}
	got := f.keep([]candidate{{token: 3, prob: 0.3}, {token: 2, prob: 0.3}, {token: 1, prob: 0.25}, {token: 4, prob: 0.15}})
	if len(got) != 1 || got[0].token != 2 || math.Abs(float64(got[0].prob)-0.7) > 1e-6 {
		t.Errorf("kept %v, want token 2 with what its beginnings had", got)
	}
}

// TestInfillEnds: an engine's answer ends where an end is likely, though text is likelier.
func TestInfillEnds(t *testing.T) {
	f := newFake(1, 64, 16)
	f.script = func(tokens []Token) int {
		if len(tokens) < 8 {
			return 'x'
		}
		return -1
	}
	f.ends = 8
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	sampling := Sampling{Temperature: 1, TopK: 40, TopP: 0.9, Seed: 1, Infill: true}
	got := ask(t, e, Request{Prompt: prompt("where"), MaxTokens: 20, Sampling: sampling, Logprobs: -1})
	if got.text != "xxx" || got.finish != FinishStop || got.err != nil {
		t.Errorf("answer %q, %q, %v; want xxx and an end", got.text, got.finish, got.err)
	}
	var parameter *ParameterError
	for name, req := range map[string]Request{
		"top_k":   {Prompt: prompt("a"), MaxTokens: 1, Sampling: Sampling{Infill: true}, Logprobs: -1},
		"grammar": {Prompt: prompt("a"), MaxTokens: 1, Sampling: sampling, Logprobs: -1, Grammar: `root ::= "a"`},
	} {
		if _, err := e.Submit(t.Context(), req); !errors.As(err, &parameter) || parameter.Field != name {
			t.Errorf("Submit = %v, want a ParameterError of %s", err, name)
		}
	}
}
