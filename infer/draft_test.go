package infer

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const repeated = "the quick brown fox jumps over it; "

// repeats makes a fake continue a prompt of some copies of repeated with further copies. Sampling at a temperature makes it
// stray; it then copies what it wrote.
func repeats(seen []Token) int {
	if len(seen) < len(repeated) {
		return -1
	}
	return int(seen[len(seen)-len(repeated)])
}

// plainAnswer is an answer without its splitting into chunks and without the counts of drafts.
type plainAnswer struct {
	Text, Thinking, Stop string
	Tokens, Prompt       []TokenInfo
	Finish               FinishReason
	Usage                Usage
	Err                  string
}

func plain(a answer) plainAnswer {
	out := plainAnswer{Text: a.text, Thinking: thoughtOf(a), Stop: a.stop, Tokens: a.tokens, Finish: a.finish, Usage: a.usage}
	for _, c := range a.chunks {
		out.Prompt = append(out.Prompt, c.Prompt...)
	}
	if len(out.Prompt) > 0 {
		out.Prompt[0].Logprob = 0 // NaN, which equals nothing
	}
	out.Usage.Drafted, out.Usage.Accepted = 0, 0
	if a.err != nil {
		out.Err = a.err.Error()
	}
	return out
}

// answersOf returns n answers to each request, all submitted at once, and the tokens that remain in the caches. Time is
// synctest's.
func answersOf(t *testing.T, f *fakeDecoder, dec Decoder, opts Options, n int, all []Request) (answers []answer, stats Stats) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := New(dec, opts, nil)
		var running []Generation
		for _, req := range all {
			generations, err := e.SubmitN(context.Background(), req, n)
			if err != nil {
				t.Fatal(err)
			}
			running = append(running, generations...)
		}
		for _, g := range running {
			answers = append(answers, readAll(g))
		}
		closeEngine(t, e)
		stats = e.Stats()
	})
	return answers, stats
}

// slowThinker is a thinkingDecoder that takes time.
type slowThinker struct {
	slowDecoder
	marks thinkingDecoder
}

func (d slowThinker) Tokenize(text string, bos, special bool) ([]Token, error) {
	return d.marks.Tokenize(text, bos, special)
}

func (d slowThinker) Piece(t Token, special bool) []byte { return d.marks.Piece(t, special) }

// Answers with drafts have the same text, tokens, log probabilities, reasons to end and counts as answers without.
func TestDraftsChangeNoAnswer(t *testing.T) {
	base := Request{Prompt: prompt(strings.Repeat(repeated, 3)), MaxTokens: 120, Logprobs: -1}
	with := func(change func(r *Request)) Request { r := base; change(&r); return r }
	for name, test := range map[string]struct {
		req    Request
		n      int
		script func([]Token) int
		few    bool // drafts may be few or none
	}{
		"greedy":             {req: base},
		"sampled":            {req: with(func(r *Request) { r.Sampling = Sampling{Temperature: 2.5, Seed: 3} })},
		"sampled, truncated": {req: with(func(r *Request) { r.Sampling = Sampling{Temperature: 2.8, TopP: 0.95, TopK: 40, MinP: 0.01, Seed: 4} })},
		"typical":            {req: with(func(r *Request) { r.Sampling = Sampling{Temperature: 2.5, TypicalP: 0.9, Seed: 4} })},
		"n = 3":              {req: with(func(r *Request) { r.Sampling = Sampling{Temperature: 2.5, Seed: 5} }), n: 3},
		"penalties": {req: with(func(r *Request) {
			r.Sampling = Sampling{Temperature: 1, RepetitionPenalty: 1.3, RepetitionWindow: 20, PresencePenalty: 1, FrequencyPenalty: 0.3, Seed: 6}
		})},
		"logit bias": {req: with(func(r *Request) {
			r.Sampling = Sampling{Temperature: 2, LogitBias: map[Token]float64{'x': 5, 'q': -50}, Seed: 6}
		})},
		"log probabilities":        {req: with(func(r *Request) { r.Logprobs = 3; r.Sampling = Sampling{Temperature: 2.5, Seed: 7} })},
		"prompt log probabilities": {req: with(func(r *Request) { r.Logprobs, r.PromptLogprobs = 2, true })},
		"a stop string": {req: with(func(r *Request) {
			r.Stop = []string{"jumps ov", "never"}
			r.Prompt = prompt(strings.Repeat(repeated, 3) + "the quick brown fox ju")
			r.Sampling.LogitBias = map[Token]float64{'x': 1}
		}), few: true},
		"a prediction":       {req: with(func(r *Request) { r.Prompt = r.Prompt[:len(repeated)]; r.Prediction = prompt(repeated + "the end") })},
		"a wrong prediction": {req: with(func(r *Request) { r.Prediction = prompt("nothing of the kind") })},
		"max_tokens":         {req: with(func(r *Request) { r.MaxTokens = 37 })},
		"one token":          {req: with(func(r *Request) { r.MaxTokens = 1 }), few: true},
		"the context's end":  {req: with(func(r *Request) { r.MaxTokens = 1000 })},
		"a grammar": {req: with(func(r *Request) {
			r.Grammar = `root ::= ([a-z ;] | "\n")*`
			r.Sampling = Sampling{Temperature: 2.5, Seed: 8}
		})},
		"a grammar that objects": {req: with(func(r *Request) { r.Grammar = `root ::= [a-w ;]*` })},
		"a grammar that ends":    {req: with(func(r *Request) { r.Grammar = `root ::= [a-z ]+ ";" [a-z ]+ "; the"` })},
		"infill":                 {req: with(func(r *Request) { r.Sampling = Sampling{Temperature: 2.5, TopK: 30, Infill: true, Seed: 9} })},
		"an end in a draft": {req: base, script: func(seen []Token) int {
			if len(seen) == 190 {
				return int(fakeEOS)
			}
			return repeats(seen)
		}},
		"an end that is ignored": {req: with(func(r *Request) { r.IgnoreEOS = true }), script: func(seen []Token) int {
			if len(seen) == 190 {
				return int(fakeEOS)
			}
			return repeats(seen)
		}},
		"thinking": {req: with(func(r *Request) { r.Thinking = Thinking{Begin: "[THINK]", End: "[/THINK]", Open: true, Budget: -1} })},
		"thinking's budget": {req: with(func(r *Request) {
			r.Thinking = Thinking{Begin: "[THINK]", End: "[/THINK]", Open: true, Budget: 31}
			r.Grammar = `root ::= [a-z ;]+`
		})},
	} {
		t.Run(name, func(t *testing.T) {
			n := max(test.n, 1)
			run := func(drafts, streams int) ([]answer, Stats) {
				f := newFake(streams, 400, 64)
				if f.script = test.script; f.script == nil {
					f.script = repeats
				}
				all := []Request{test.req}
				for i := 1; i < streams; i++ {
					other := test.req
					other.Prompt, other.Sampling.Seed = test.req.Prompt[i:], uint64(i)
					all = append(all, other)
				}
				return answersOf(t, f, slowThinker{slowDecoder{f}, thinkingDecoder{f}}, Options{DraftMax: drafts}, n, all)
			}
			for _, streams := range []int{1, 3} {
				want, without := run(0, streams)
				got, stats := run(8, streams)
				accepted, drafted := 0, 0
				for i := range want {
					if a, b := plain(got[i]), plain(want[i]); !reflect.DeepEqual(a, b) {
						t.Errorf("%d streams, answer %d: with drafts %q, %d tokens, %s %+v %s\nwithout %q, %d tokens, %s %+v %s",
							streams, i, a.Text, len(a.Tokens), a.Finish, a.Usage, a.Err, b.Text, len(b.Tokens), b.Finish, b.Usage, b.Err)
					}
					if want[i].usage.Drafted != 0 || want[i].usage.Accepted != 0 {
						t.Errorf("%d streams, answer %d: drafts although they are off", streams, i)
					}
					accepted, drafted = accepted+got[i].usage.Accepted, drafted+got[i].usage.Drafted
				}
				if accepted > drafted {
					t.Errorf("%d streams: %d of %d drafted tokens accepted", streams, accepted, drafted)
				}
				if streams == 1 && !test.few && (accepted == 0 || stats.Steps >= without.Steps) {
					t.Errorf("%d tokens accepted, %d steps, without drafts %d", accepted, stats.Steps, without.Steps)
				}
			}
		})
	}
}

// After an answer with drafts the caches have exactly its tokens, so that the next turn of a conversation reuses them.
func TestDraftsLeaveTheCacheOfTheAnswer(t *testing.T) {
	for _, stop := range []string{"", "jumps over it; the quick b"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 400, 64)
			f.script = repeats
			e := New(slowDecoder{f}, Options{DraftMax: 8}, nil)
			defer closeEngine(t, e)
			req := Request{Prompt: prompt(strings.Repeat(repeated, 3)), MaxTokens: 60, Logprobs: -1}
			if stop != "" {
				req.Stop = []string{stop}
			}
			a := ask(t, e, req)
			if a.err != nil || a.usage.Accepted == 0 {
				t.Fatalf("%+v", a)
			}
			got := f.caches[0]
			all := append(slices.Clone(req.Prompt), prompt(strings.Repeat(repeated, 3))...)
			if want := all[:len(req.Prompt)+a.usage.Completion-1]; !slices.Equal(got, want) {
				t.Errorf("the cache has %d tokens, the prompt and answer before the last token %d", len(got), len(want))
			}
		})
	}
}

// A decoder that cannot remove a draft ends the answer, and the engine goes on.
func TestDraftThatCannotBeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 400, 64)
		strays := 147 // the length at which the answer leaves what it repeats
		f.script = func(seen []Token) int {
			if len(seen) >= strays {
				return 'z'
			}
			return repeats(seen)
		}
		d := &stubborn{slowDecoder: slowDecoder{f}}
		e := New(d, Options{DraftMax: 8}, nil)
		defer closeEngine(t, e)
		req := Request{Prompt: prompt(strings.Repeat(repeated, 3)), MaxTokens: 60, Logprobs: -1}
		d.refuse = 1
		if a := ask(t, e, req); a.err == nil || !strings.Contains(a.err.Error(), "cut a draft") {
			t.Errorf("got %v", a.err)
		}
		strays = 1 << 30
		if a := ask(t, e, req); a.err != nil || a.text != strings.Repeat(repeated, 3)[:60] {
			t.Errorf("the next answer: %q, %v", a.text, a.err)
		}
	})
}

// stubborn refuses to remove the end of a sequence some times.
type stubborn struct {
	slowDecoder
	refuse int
}

func (d *stubborn) SequenceRemove(seq, from, to int) error {
	if from > 0 && d.refuse > 0 {
		d.refuse--
		return fmt.Errorf("refused")
	}
	return d.slowDecoder.SequenceRemove(seq, from, to)
}

// Where text repeats, drafts save most steps; where it does not, they cost at most 3% of the time.
func TestDraftsPayOrPause(t *testing.T) {
	took := func(t *testing.T, script func([]Token) int, text string, drafts int) (out time.Duration, a answer) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(1, 1200, 512)
			f.script = script
			e := New(slowDecoder{f}, Options{DraftMax: drafts}, nil)
			defer closeEngine(t, e)
			began := time.Now()
			a = ask(t, e, Request{Prompt: prompt(text), MaxTokens: 600, Logprobs: -1})
			out = time.Since(began)
		})
		return out, a
	}
	// Pairs and triples of tokens repeat, but what follows them differs.
	few := func(seen []Token) int {
		h := uint64(len(seen)) * 0x9e3779b97f4a7c15
		h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
		return int('a' + h>>40%5)
	}
	for name, test := range map[string]struct {
		script     func([]Token) int
		text       string
		least, top float64 // time without drafts, in that with drafts
	}{
		"text that repeats":  {repeats, strings.Repeat(repeated, 3), 2.2, 10},
		"text that does not": {nil, strings.Repeat("abcdefghijkl", 20), 0.97, 1.1},
		"accidental matches": {few, "abcde", 0.97, 1.3},
	} {
		without, a := took(t, test.script, test.text, 0)
		with, b := took(t, test.script, test.text, 16)
		if a.text != b.text {
			t.Errorf("%s: the answers differ", name)
		}
		if ratio := without.Seconds() / with.Seconds(); ratio < test.least || ratio > test.top {
			t.Errorf("%s: %.3f times as fast with drafts, want %g to %g; %d of %d accepted", name, ratio, test.least, test.top, b.usage.Accepted, b.usage.Drafted)
		}
	}
}

// A full batch has no room for drafts.
func TestDraftsYieldToOtherAnswers(t *testing.T) {
	const streams = 8
	f := newFake(streams, 400, streams)
	f.script = repeats
	req := Request{Prompt: prompt(strings.Repeat(repeated, 3)), MaxTokens: 30, Logprobs: -1}
	answers, _ := answersOf(t, f, slowDecoder{f}, Options{DraftMax: 8, PrefillChunk: streams}, streams, []Request{req})
	for i, a := range answers {
		if a.err != nil || a.text != strings.Repeat(repeated, 3)[:30] {
			t.Errorf("answer %d: %q, %v", i, a.text, a.err)
		}
	}
	for _, batch := range f.seen() {
		if len(batch) > streams {
			t.Fatalf("a batch of %d entries", len(batch))
		}
	}
}

func TestDrafter(t *testing.T) {
	for name, test := range map[string]struct {
		prompt, answer string
		want           string // the next predictions
		run            int
	}{
		"nothing":                 {"", "", "", 0},
		"one token":               {"a", "", "", 0},
		"no match":                {"abcdef", "", "", 0},
		"one token is no match":   {"abcb", "", "", 0},
		"a pair":                  {"abcdab", "", "cdabcd", 2},
		"the longest":             {"xabcd.yabce.zab", "c", "e.zabc", 3},
		"longer beats later":      {"xyabQ.abP.xy", "ab", "Q.abP.", 4},
		"the later of equals":     {"abP,abQ.", "ab", "Q.abQ.", 2},
		"the answer's own":        {"..", "hello world, hello", " world", 5},
		"a repeated token":        {"aaa", "", "aaaaaa", 2},
		"a repeated pair":         {"xyxyxy", "", "xyxyxy", 4},
		"the place moves along":   {"abcdefgh-", "abcd", "efgh-a", 4},
		"and is found once again": {"abcdefgh-ijklm.", "abcdij", "klm.ab", 2},
	} {
		d := newDrafter(nil, prompt(test.prompt))
		for _, token := range prompt(test.answer) {
			d.add(token)
		}
		got := ""
		if d.at >= 0 {
			for _, token := range d.propose(6) {
				got += string(rune(token))
			}
		}
		if got != test.want || d.run != test.run {
			t.Errorf("%s: %q after a match of %d, want %q after %d", name, got, d.run, test.want, test.run)
		}
	}
}

// A drafter drafts more the more often it was right, and less the more a drafted token costs.
func TestDraftLength(t *testing.T) {
	d := newDrafter(nil, prompt("abcdefghijklmnopqrstuvwxyz.abc"))
	for range 20 {
		d.add(d.tokens[d.at])
	}
	sure := d.want(16, 0.2)
	if sure < 6 {
		t.Errorf("%d tokens after 20 right predictions", sure)
	}
	if n := d.want(3, 0.2); n != 3 {
		t.Errorf("%d tokens, 3 are allowed", n)
	}
	if n := d.want(0, 0.2); n != 0 {
		t.Errorf("%d tokens, none is allowed", n)
	}
	if n := d.want(16, 0.6); n >= sure {
		t.Errorf("%d tokens although they cost more, before %d", n, sure)
	}
	if n := d.want(16, 1); n != 0 {
		t.Errorf("%d tokens although they save nothing", n)
	}
	for i := range d.rates {
		d.rates[i] = rate{1, 20}
	}
	if n := d.want(16, 0.2); n != 0 {
		t.Errorf("%d tokens although predictions are wrong", n)
	}
}

func TestStepTimes(t *testing.T) {
	var s stepTimes
	if got := s.cost(1); got != firstCost {
		t.Errorf("before a step: %g", got)
	}
	for range 50 {
		s.measured(1, 0.040)
	}
	if got := s.cost(1); got < firstCost-0.01 || got > firstCost+0.01 {
		t.Errorf("after steps of one size: %g, want the assumed %g", got, firstCost)
	}
	for i := range 100 {
		n := 1 + i%2*8
		s.measured(n, 0.030+0.010*float64(n))
	}
	if got := s.cost(1); got < 0.24 || got > 0.26 {
		t.Errorf("after steps of two sizes: %g, want 0.25", got)
	}
	if got := s.cost(8); got < 0.7 || got > 0.76 {
		t.Errorf("beside seven answers: %g, want 0.73", got)
	}
	s.measured(1, 60)
	if got := s.cost(1); got < 0.15 || got > 0.35 {
		t.Errorf("after one very long step: %g", got)
	}
}

// A client's prediction is drafted from the answer's first tokens on, and a wrong one only once.
func TestPrediction(t *testing.T) {
	const edited = "func add(a, b int) int { return a + b }"
	for _, test := range []struct {
		prediction string
		least, top int // tokens accepted
	}{
		{"", 0, 2},
		{edited, len(edited) - 12, len(edited)},
		{"func sub(a, b int) int { return a - b }", len(edited) - 20, len(edited) - 2},
		{"something else", 0, 2},
	} {
		f := newFake(1, 400, 64)
		f.script = say(1, edited)
		answers, stats := answersOf(t, f, slowDecoder{f}, Options{DraftMax: 8}, 1, []Request{
			{Prompt: prompt("?"), Prediction: prompt(test.prediction), MaxTokens: 100, Logprobs: -1},
		})
		a := answers[0]
		if a.text != edited || a.usage.Accepted < test.least || a.usage.Accepted > test.top || a.usage.Drafted > test.top+16 {
			t.Errorf("prediction %q: %q, %d of %d accepted in %d steps", test.prediction, a.text, a.usage.Accepted, a.usage.Drafted, stats.Steps)
		}
	}
	e := New(newFake(1, 64, 64), Options{DraftMax: 8}, nil)
	defer closeEngine(t, e)
	for want, prediction := range map[string][]Token{"not one of the vocabulary": {fakeVocab}, "the context holds 64": make([]Token, 65)} {
		_, err := e.Submit(t.Context(), Request{Prompt: prompt("?"), Prediction: prediction, MaxTokens: 1, Logprobs: -1})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "prediction") {
			t.Errorf("Submit: %v, want %q", err, want)
		}
	}
}
