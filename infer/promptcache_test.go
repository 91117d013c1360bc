package infer

import (
	"fmt"
	"strings"
	"testing"
)

// With more conversations than sequences, each one continues from its saved state. The text is the same as without eviction.
func TestPromptCacheSavesSequences(t *testing.T) {
	ask3 := func(opts Options) (*fakeDecoder, []answer) {
		f := newFake(1, 512, 64)
		opts.SaveAtLeast = 8
		e := New(f, opts, nil)
		defer closeEngine(t, e)
		var answers []answer
		talks := make([][]Token, 4)
		for turn := range 3 {
			for i := range talks {
				talks[i] = append(talks[i], prompt(fmt.Sprintf("speaker %d says in turn %d: %s", i, turn, strings.Repeat("word ", 4)))...)
				got := ask(t, e, Request{Prompt: talks[i], MaxTokens: 5, Logprobs: -1, Sampling: Sampling{Temperature: 1, Seed: uint64(i)}})
				if got.err != nil {
					t.Fatal(got.err)
				}
				answers = append(answers, got)
			}
		}
		return f, answers
	}
	_, want := ask3(Options{})
	f, got := ask3(Options{PromptCacheBytes: 1 << 20})
	for i := range got {
		if got[i].text != want[i].text {
			t.Errorf("answer %d: %q, without saved states %q", i, got[i].text, want[i].text)
		}
		if i >= 4 && got[i].usage.Cached < 30 {
			t.Errorf("answer %d: %d tokens from the cache, want the turns before", i, got[i].usage.Cached)
		}
	}
	if f.restores.Load() < 8 {
		t.Errorf("%d states restored, want one for each turn after the first", f.restores.Load())
	}
	if f, _ := ask3(Options{}); f.saves.Load() != 0 {
		t.Errorf("%d states saved without a budget", f.saves.Load())
	}
}

// A backend that cannot save or restore loses time but no answers.
func TestPromptCacheFailures(t *testing.T) {
	f := newFake(1, 512, 64)
	e := New(f, Options{PromptCacheBytes: 1 << 20, SaveAtLeast: 4}, nil)
	defer closeEngine(t, e)
	first, second := prompt(strings.Repeat("first ", 10)), prompt(strings.Repeat("second ", 10))
	want := ask(t, e, Request{Prompt: first, MaxTokens: 5, Logprobs: -1}).text
	for i := range 8 {
		f.broken.Store(i%2 == 1)
		if got := ask(t, e, Request{Prompt: second, MaxTokens: 5, Logprobs: -1}); got.err != nil {
			t.Fatal(got.err)
		}
		f.broken.Store(i%3 == 1)
		if got := ask(t, e, Request{Prompt: first, MaxTokens: 5, Logprobs: -1}); got.err != nil || got.text != want {
			t.Fatalf("%q, %v, want %q", got.text, got.err, want)
		}
	}
}

func TestSavedStates(t *testing.T) {
	s := savedStates{budget: 100}
	add := func(text string, size int, used uint64) {
		s.add(savedState{tokens: prompt(text), state: make([]byte, size), used: used})
	}
	texts := func() string {
		var all []string
		for _, saved := range s.all {
			var b strings.Builder
			for _, token := range saved.tokens {
				b.WriteByte(byte(token))
			}
			all = append(all, b.String())
		}
		return strings.Join(all, " ")
	}
	add("ab", 30, 1)
	add("xy", 40, 2)
	add("abc", 30, 3) // replaces ab
	if got := texts(); got != "xy abc" || s.bytes != 70 {
		t.Errorf("holds %q, %d bytes", got, s.bytes)
	}
	if i, n := s.longest(prompt("abcd")); i != 1 || n != 3 {
		t.Errorf("longest = %d, %d, want 1, 3", i, n)
	}
	if i, n := s.longest(prompt("abc")); i != 1 || n != 2 {
		t.Errorf("longest = %d, %d, want 1 and one token left to decode", i, n)
	}
	if i, _ := s.longest(prompt("q")); i != -1 {
		t.Errorf("longest of a prompt without a common prefix = %d", i)
	}
	add("large", 101, 4)
	if got := texts(); got != "xy abc" {
		t.Errorf("after a state above the budget: %q", got)
	}
	add("new", 50, 5)
	if got := texts(); got != "abc new" || s.bytes != 80 {
		t.Errorf("the oldest stays: %q, %d bytes", got, s.bytes)
	}
	if !s.holds(prompt("ab")) || s.holds(prompt("abx")) {
		t.Error("holds is wrong")
	}
}
