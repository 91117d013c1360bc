package infer

import (
	"testing"
	"testing/synctest"
	"time"
)

// slowDecoder takes as long for each step as a model on a CPU.
type slowDecoder struct{ *fakeDecoder }

func (d slowDecoder) Decode(entries []Entry) error {
	<-time.After(30*time.Millisecond + time.Duration(len(entries))*10*time.Millisecond) // by the bubble's clock
	return d.fakeDecoder.Decode(entries)
}

// submitLetters submits a prompt of the given number of tokens, each a letter. Prompts with different offsets differ in
// their first token.
func submitLetters(t *testing.T, e *Engine, tokens, answer, offset int) Generation {
	t.Helper()
	p := make([]Token, tokens)
	for i := range p {
		p[i] = Token('a' + (i+offset)%26)
	}
	g, err := e.Submit(t.Context(), Request{Prompt: p, MaxTokens: answer, IgnoreEOS: true, Logprobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A short request that arrives during the prefill of long prompts gets its first token after the current step and one step
// of its own. It gets its last token after one more step of prompts. No answer changes. Time is synctest's.
func TestShortRequestBesideLongPrompts(t *testing.T) {
	for _, long := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			const tokens = 8000
			e := New(slowDecoder{newFake(4, 9000, 512)}, Options{}, nil)
			defer closeEngine(t, e)
			var running []Generation
			for i := range long {
				running = append(running, submitLetters(t, e, tokens, 5, i))
			}
			<-time.After(8 * time.Second) // in the second step
			before := e.Stats().Steps
			short := submitLetters(t, e, 15, 15, 20)
			first, err := short.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if steps := e.Stats().Steps - before; steps > 2 {
				t.Errorf("with %d long prompts: the first token after %d steps, want 2", long, steps)
			}
			began := time.Now()
			rest := readAll(short)
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("with %d long prompts: the other tokens took %v, more than their own steps and one step of prompts", long, took)
			}
			alone := New(newFake(1, 9000, 512), Options{}, nil)
			defer closeEngine(t, alone)
			if got, want := first.Text+rest.text, readAll(submitLetters(t, alone, 15, 15, 20)).text; got != want {
				t.Errorf("with %d long prompts: the short answer is %q, alone %q", long, got, want)
			}
			for i, g := range running {
				if got, want := readAll(g).text, readAll(submitLetters(t, alone, tokens, 5, i)).text; got != want {
					t.Errorf("with %d long prompts: a long answer is %q, alone %q", long, got, want)
				}
			}
		})
	}
}
