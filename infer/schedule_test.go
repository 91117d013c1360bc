package infer

import (
	"slices"
	"testing"
	"time"
)

func TestPlanStep(t *testing.T) {
	const generates = 0
	tests := map[string]struct {
		prompts              []int // prompt tokens left of each request; 0: it generates
		batch, alone, shared int
		held                 int
		want                 []int
	}{
		"nothing":                         {nil, 8, 8, 4, 0, []int{}},
		"generation":                      {[]int{generates, generates}, 8, 8, 4, 0, []int{1, 1}},
		"more than the batch":             {[]int{generates, generates, generates}, 2, 8, 4, 0, []int{1, 1, 0}},
		"a prompt alone":                  {[]int{100}, 8, 8, 4, 0, []int{8}},
		"a prompt alone, small chunk":     {[]int{100}, 64, 16, 4, 0, []int{16}},
		"the end of a prompt":             {[]int{3}, 64, 16, 4, 0, []int{3}},
		"with an answer":                  {[]int{generates, 100}, 64, 16, 4, 0, []int{1, 4}},
		"with many answers":               {[]int{generates, generates, generates, 100}, 64, 32, 4, 0, []int{1, 1, 1, 4}},
		"two after the wait":              {[]int{generates, 100, 100}, 64, 32, 4, 64, []int{1, 16, 0}},
		"a burst after the wait":          {[]int{generates, 100, 100, 100}, 64, 32, 4, 64, []int{1, 32, 0, 0}},
		"two with an answer":              {[]int{generates, 100, 100}, 64, 32, 4, 0, []int{0, 32, 0}},
		"a burst with an answer":          {[]int{generates, 100, 100, 100}, 64, 32, 4, 63, []int{0, 32, 0, 0}},
		"two with three answers":          {[]int{generates, 100, generates, 100, generates}, 64, 32, 4, 0, []int{0, 32, 0, 0, 0}},
		"two with four answers":           {[]int{generates, 100, generates, 100, generates, generates}, 64, 32, 4, 0, []int{1, 4, 1, 0, 1, 1}},
		"prompt first, answer later":      {[]int{100, generates}, 64, 16, 4, 0, []int{4, 1}},
		"the earliest of equal prompts":   {[]int{100, 100}, 64, 16, 4, 0, []int{16, 0}},
		"a short prompt goes first":       {[]int{100, 2}, 64, 16, 4, 0, []int{4, 2}},
		"and no long one fills the step":  {[]int{2, 100}, 64, 16, 4, 0, []int{2, 4}},
		"but one that the next step ends": {[]int{16, 2}, 64, 16, 4, 0, []int{14, 2}},
		"a long prompt keeps a quarter":   {[]int{1000, 40}, 64, 16, 4, 0, []int{4, 12}},
		"no answer waits for long ones":   {[]int{generates, 1000, 900}, 64, 16, 4, 0, []int{1, 4, 12}},
		"no room for prompts":             {[]int{generates, generates, 50}, 2, 16, 4, 0, []int{1, 1, 0}},
		"little room":                     {[]int{generates, generates, 50, 50}, 5, 16, 8, 32, []int{1, 1, 3, 0}},
		"more prompts than the budget":    {[]int{9, 9, 9}, 64, 2, 2, 0, []int{2, 0, 0}},
		"a budget of nothing is one":      {[]int{generates, 9}, 64, 0, 0, 0, []int{1, 1}},
		"rest goes to the next shortest":  {[]int{100, 90, 8}, 64, 16, 4, 0, []int{4, 4, 8}},
		"rest goes to later prompts":      {[]int{6, 100, 3}, 64, 30, 4, 0, []int{6, 8, 3}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			wants, grants := make([]want, len(test.prompts)), make([]int, len(test.prompts))
			for i, p := range test.prompts {
				wants[i].prompt = p
			}
			planStep(wants, test.batch, test.alone, test.shared, test.held, grants)
			if !slices.Equal(grants, test.want) {
				t.Errorf("planStep(%v) = %v, want %v", test.prompts, grants, test.want)
			}
		})
	}
}

// However many prompts arrive, a running answer gets a token after two steps of prompts.
func TestAnswersWaitForTwoSteps(t *testing.T) {
	wants := []want{{}, {prompt: 60}, {prompt: 60}, {prompt: 60}}
	grants := make([]int, len(wants))
	held, waited := 0, 0
	for range 20 {
		planStep(wants, 64, 16, 4, held, grants)
		held = heldAfter(held, wants, grants)
		if waited++; grants[0] == 1 {
			waited = 0
		}
		if waited > 2 {
			t.Fatalf("%d steps without a token for the answer", waited)
		}
		if held > 32 {
			t.Fatalf("held = %d, want at most two steps", held)
		}
	}
	if got := heldAfter(7, []want{{prompt: 5}}, []int{5}); got != 0 {
		t.Errorf("held = %d although no request generates", got)
	}
}

// While a long prompt is prefilled, answers have steps of their own, for an eighth of the time of its steps.
func TestAnswersAloneBesideLongPrompts(t *testing.T) {
	const step, alone = 800 * time.Millisecond, 16
	wants, grants := []want{{}, {prompt: 100}}, []int{1, 4}
	owed := answersOwed(0, step, wants, grants)
	if owed != step/8 || !answersAlone(wants, owed, alone) {
		t.Fatalf("after a step of %v answers are owed %v", step, owed)
	}
	planAnswers(wants, 64, grants)
	if !slices.Equal(grants, []int{1, 0}) {
		t.Errorf("planAnswers = %v", grants)
	}
	if owed = answersOwed(owed, 60*time.Millisecond, wants, grants); owed != 40*time.Millisecond {
		t.Errorf("owed = %v, want the rest", owed)
	}
	if owed = answersOwed(owed, 60*time.Millisecond, wants, grants); answersAlone(wants, owed, alone) {
		t.Errorf("answers decode alone, although they are owed %v", owed)
	}
	for name, wants := range map[string][]want{
		"no answer": {{prompt: 100}}, "no prompt": {{}}, "a prompt that one step ends": {{}, {prompt: 100}, {prompt: 16}},
	} {
		if answersAlone(wants, step, alone) {
			t.Errorf("%s: want no step for answers alone", name)
		}
	}
}

func TestChooseSequence(t *testing.T) {
	p := prompt
	tests := map[string]struct {
		states []cacheState
		prompt string
		copyAt int
		want   choice
	}{
		"all busy":               {[]cacheState{{busy: true}}, "abc", 0, choice{-1, 0, -1}},
		"empty, least recent":    {[]cacheState{{used: 5}, {used: 3}, {used: 4}}, "abc", 0, choice{1, 0, -1}},
		"longest prefix":         {[]cacheState{{tokens: p("ax")}, {tokens: p("abx")}, {tokens: p("zzz")}}, "abcd", 0, choice{1, 2, -1}},
		"prefix, least recent":   {[]cacheState{{tokens: p("abx"), used: 9}, {tokens: p("aby"), used: 2}}, "abcd", 0, choice{1, 2, -1}},
		"one token is left":      {[]cacheState{{tokens: p("abcd")}}, "abcd", 0, choice{0, 3, -1}},
		"busy is not taken":      {[]cacheState{{tokens: p("abcx"), busy: true}, {tokens: p("ax")}}, "abcd", 0, choice{1, 1, -1}},
		"busy is copied":         {[]cacheState{{tokens: p("abcx"), busy: true}, {tokens: p("ax")}}, "abcd", 2, choice{1, 3, 0}},
		"copy onto the oldest":   {[]cacheState{{tokens: p("abcx"), busy: true}, {tokens: p("ax"), used: 7}, {tokens: p("z"), used: 1}}, "abcd", 2, choice{2, 3, 0}},
		"not worth a copy":       {[]cacheState{{tokens: p("abcx"), busy: true}, {tokens: p("ax")}}, "abcd", 3, choice{1, 1, -1}},
		"copies never":           {[]cacheState{{tokens: p("abcx"), busy: true}, {tokens: p("z")}}, "abcd", -1, choice{1, 0, -1}},
		"next to a busy one":     {[]cacheState{{used: 1}, {used: 2}, {busy: true}}, "abc", 0, choice{1, 0, -1}},
		"in the gap":             {[]cacheState{{busy: true}, {used: 9}, {busy: true}, {used: 1}}, "abc", 0, choice{1, 0, -1}},
		"a prefix before a gap":  {[]cacheState{{busy: true}, {}, {busy: true}, {}, {tokens: p("ax")}}, "abc", 0, choice{4, 1, -1}},
		"no free one for a copy": {[]cacheState{{tokens: p("abcx"), busy: true}}, "abcd", 1, choice{-1, 0, -1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := chooseSequence(test.states, p(test.prompt), test.copyAt); got != test.want {
				t.Errorf("chooseSequence = %+v, want %+v", got, test.want)
			}
		})
	}
}

func BenchmarkPlanStep(b *testing.B) {
	wants := make([]want, 32)
	for i := range wants {
		wants[i].prompt = i % 4 * 100
	}
	grants := make([]int, len(wants))
	b.ReportAllocs()
	for b.Loop() {
		planStep(wants, 512, 512, 128, 0, grants)
	}
}
