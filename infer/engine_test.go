package infer

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnswer(t *testing.T) {
	f := newFake(2, 64, 16)
	f.script = say(5, "Paris, of course.")
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	tests := map[string]struct {
		req    Request
		text   string
		finish FinishReason
		stop   string
		tokens int
	}{
		"to the end":          {Request{MaxTokens: 50}, "Paris, of course.", FinishStop, "", 18},
		"token limit":         {Request{MaxTokens: 5}, "Paris", FinishLength, "", 5},
		"stop string":         {Request{MaxTokens: 50, Stop: []string{"xyz", "of c"}}, "Paris, ", FinishStop, "of c", 11},
		"longest stop string": {Request{MaxTokens: 50, Stop: []string{"c", ", of c", "f c"}}, "Paris", FinishStop, ", of c", 11},
		"stop string first":   {Request{MaxTokens: 50, Stop: []string{"Paris"}}, "", FinishStop, "Paris", 5},
		"stop never reached":  {Request{MaxTokens: 50, Stop: []string{"course. "}}, "Paris, of course.", FinishStop, "", 18},
		"context":             {Request{MaxTokens: 1000, IgnoreEOS: true}, "Paris, of course.", FinishLength, "", 60},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.req.Prompt, test.req.Logprobs = prompt("where"), -1
			got := ask(t, e, test.req)
			if got.err != nil || got.text != test.text || got.finish != test.finish || got.stop != test.stop || got.usage.Completion != test.tokens {
				t.Errorf("got %q, %q, %q, %+v, %v; want %q, %q, %q, %d tokens",
					got.text, got.finish, got.stop, got.usage, got.err, test.text, test.finish, test.stop, test.tokens)
			}
			if got.usage.Prompt != 5 {
				t.Errorf("prompt of %d tokens, want 5", got.usage.Prompt)
			}
		})
	}
}

func TestLogprobsCoverTheText(t *testing.T) {
	f := newFake(1, 64, 16)
	f.script = say(5, "naïve stop here")
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	got := ask(t, e, Request{Prompt: prompt("where"), MaxTokens: 50, Logprobs: 2, Stop: []string{" here"}})
	var pieces strings.Builder
	for _, tok := range got.tokens {
		pieces.Write(tok.Piece)
		if len(tok.Top) != 2 || tok.Top[0].Token != tok.Token || tok.Top[0].Logprob < tok.Top[1].Logprob {
			t.Errorf("token %q: top %v", tok.Piece, tok.Top)
		}
		if tok.Logprob > 0 || tok.Logprob < -0.01 {
			t.Errorf("token %q has log probability %g, want near 0", tok.Piece, tok.Logprob)
		}
	}
	if got.text != "naïve stop" || pieces.String() != got.text {
		t.Errorf("text %q, pieces %q; want both %q", got.text, pieces.String(), "naïve stop")
	}
}

// The same seed gives the same text alone, in batches with others, after a cached prefix and with chunks of any size.
func TestSeedDecidesTheText(t *testing.T) {
	req := Request{
		Prompt: prompt(strings.Repeat("a long prompt ", 5)), MaxTokens: 30, Logprobs: -1,
		Sampling: Sampling{Temperature: 1.3, TopP: 0.9, Seed: 7, RepetitionPenalty: 1.2},
	}
	alone := func() answer {
		e := New(newFake(1, 256, 64), Options{}, nil)
		defer closeEngine(t, e)
		return ask(t, e, req)
	}()
	if alone.err != nil || len(alone.text) == 0 {
		t.Fatalf("got %q, %v", alone.text, alone.err)
	}
	e := New(newFake(4, 256, 16), Options{PrefillChunk: 7, SharedChunk: 3, CopyAtLeast: 8}, nil)
	defer closeEngine(t, e)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			r := req
			if i%3 > 0 {
				r.Prompt = append(prompt("a long prompt "), prompt(strings.Repeat("x", i))...)
				r.Sampling.Seed = uint64(i)
			}
			g, err := e.Submit(context.Background(), r)
			if err != nil {
				t.Errorf("Submit: %v", err)
				return
			}
			if got := readAll(g); i%3 == 0 && got.text != alone.text {
				t.Errorf("request %d: %q, alone it was %q", i, got.text, alone.text)
			}
		})
	}
	wg.Wait()
	if s := e.Stats(); s.CachedTokens == 0 || s.Running != 0 || s.Queued != 0 {
		t.Errorf("stats %+v, want cached tokens and nothing running", s)
	}
}

func TestPromptCache(t *testing.T) {
	e := New(newFake(2, 256, 64), Options{}, nil)
	defer closeEngine(t, e)
	long := prompt("the same system prompt, then a question")
	for i, want := range []int{0, len(long) - 1} {
		if got := ask(t, e, Request{Prompt: long, MaxTokens: 3, Logprobs: -1}); got.usage.Cached != want {
			t.Errorf("request %d: %d tokens from the cache, want %d", i, got.usage.Cached, want)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	f := newFake(1, 64, 16)
	f.gate, f.began = make(chan struct{}), make(chan struct{}, 100)
	waited := make(chan time.Duration, 100)
	e := New(f, Options{MaxQueue: 2, Admitted: func(d time.Duration) { waited <- d }}, nil)
	req := Request{Prompt: prompt("hi"), MaxTokens: 2, Logprobs: -1}
	var answers []Generation
	submit := func(ctx context.Context) error {
		g, err := e.Submit(ctx, req)
		if err == nil {
			answers = append(answers, g)
		}
		return err
	}
	if err := submit(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-f.began // it holds the only sequence now
	leaver, leave := context.WithCancel(context.Background())
	if err := errors.Join(submit(leaver), submit(context.Background())); err != nil {
		t.Fatal(err)
	}
	if err := submit(context.Background()); !errors.Is(err, ErrQueueFull) {
		t.Errorf("Submit to a full queue: %v, want ErrQueueFull", err)
	}
	leave()
	if err := submit(context.Background()); err != nil {
		t.Errorf("Submit after a waiting client disconnected: %v", err)
	}
	close(f.gate)
	for i, g := range answers {
		got := readAll(g)
		if i == 1 && !errors.Is(got.err, context.Canceled) || i != 1 && got.err != nil {
			t.Errorf("answer %d: %v", i, got.err)
		}
	}
	closeEngine(t, e)
	if n := len(waited); n != 3 { // the cancelled one was never admitted
		t.Errorf("%d requests were admitted, want 3", n)
	}
}

// A cancelled request frees its sequence within one step, whether it waits, decodes its prompt or generates.
func TestCancel(t *testing.T) {
	for name, steps := range map[string]int{"prefill": 1, "generation": 6} {
		t.Run(name, func(t *testing.T) {
			f := newFake(1, 1024, 16)
			f.gate, f.began = make(chan struct{}), make(chan struct{}, 1000)
			e := New(f, Options{PrefillChunk: 16}, nil)
			ctx, cancel := context.WithCancel(context.Background())
			g, err := e.Submit(ctx, Request{Prompt: prompt(strings.Repeat("p", 60)), MaxTokens: 900, Logprobs: -1})
			if err != nil {
				t.Fatal(err)
			}
			for range steps {
				f.gate <- struct{}{}
			}
			cancel()
			for {
				if _, err := g.Next(context.Background()); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("Next: %v, want canceled", err)
					}
					break
				}
			}
			other, err := e.Submit(context.Background(), Request{Prompt: prompt("hi"), MaxTokens: 1, Logprobs: -1})
			if err != nil {
				t.Fatal(err)
			}
			close(f.gate)
			if got := readAll(other); got.err != nil || got.usage.Completion != 1 {
				t.Errorf("the next request: %+v", got)
			}
			if n := len(f.seen()); n > steps+3 {
				t.Errorf("%d steps, want at most %d", n, steps+3)
			}
			closeEngine(t, e)
		})
	}
}

func TestNextObeysItsOwnContext(t *testing.T) {
	f := newFake(1, 64, 16)
	f.gate = make(chan struct{})
	e := New(f, Options{}, nil)
	g, err := e.Submit(context.Background(), Request{Prompt: prompt("hi"), MaxTokens: 1, Logprobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := g.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next: %v, want deadline exceeded", err)
	}
	close(f.gate)
	if got := readAll(g); got.err != nil || got.finish != FinishLength {
		t.Errorf("after an impatient Next: %+v", got)
	}
	if _, err := g.Next(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("Next after the end: %v, want io.EOF", err)
	}
	closeEngine(t, e)
}

func TestDecodeFailure(t *testing.T) {
	broken := errors.New("backend broke")
	t.Run("once", func(t *testing.T) {
		f := newFake(2, 64, 16)
		f.fail = func(step int) error {
			if step == 2 {
				return broken
			}
			return nil
		}
		e := New(f, Options{}, nil)
		defer closeEngine(t, e)
		req := Request{Prompt: prompt("hi"), MaxTokens: 9, Logprobs: -1}
		if got := ask(t, e, req); !errors.Is(got.err, ErrEngine) || !errors.Is(got.err, broken) {
			t.Errorf("the failed request: %v, want ErrEngine and the cause", got.err)
		}
		if got := ask(t, e, req); got.err != nil || got.usage.Completion != 9 {
			t.Errorf("the next request: %+v", got)
		}
	})
	t.Run("for good", func(t *testing.T) {
		f := newFake(1, 64, 16)
		f.fail = func(int) error { return broken }
		e := New(f, Options{}, nil)
		var last error
		for range 10 {
			g, err := e.Submit(context.Background(), Request{Prompt: prompt("hi"), MaxTokens: 9, Logprobs: -1})
			if err != nil {
				last = err
				break
			}
			last = readAll(g).err
		}
		<-e.Done()
		if !errors.Is(last, ErrEngine) || !errors.Is(e.Err(), broken) || !f.closed.Load() {
			t.Errorf("last answer %v, engine %v, decoder closed %t", last, e.Err(), f.closed.Load())
		}
		if err := e.Close(context.Background()); !errors.Is(err, broken) {
			t.Errorf("Close: %v, want the cause", err)
		}
	})
	t.Run("panic", func(t *testing.T) {
		f := newFake(1, 64, 16)
		f.fail = func(int) error { panic("index out of range") }
		e := New(f, Options{}, nil)
		if got := ask(t, e, Request{Prompt: prompt("hi"), MaxTokens: 9, Logprobs: -1}); !errors.Is(got.err, ErrEngine) {
			t.Errorf("got %v, want ErrEngine", got.err)
		}
		<-e.Done()
		if !errors.Is(e.Err(), ErrEngine) || !f.closed.Load() {
			t.Errorf("engine %v, decoder closed %t", e.Err(), f.closed.Load())
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("finishes what runs", func(t *testing.T) {
		f := newFake(1, 64, 16)
		e := New(f, Options{}, nil)
		var all []Generation
		for range 4 {
			g, err := e.Submit(context.Background(), Request{Prompt: prompt("hi"), MaxTokens: 20, Logprobs: -1})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, g)
		}
		closeEngine(t, e)
		for _, g := range all {
			if got := readAll(g); got.err != nil || got.usage.Completion != 20 {
				t.Errorf("got %+v", got)
			}
		}
		if _, err := e.Submit(context.Background(), Request{Prompt: prompt("hi"), MaxTokens: 1, Logprobs: -1}); !errors.Is(err, ErrEngine) {
			t.Errorf("Submit after Close: %v, want ErrEngine", err)
		}
		closeEngine(t, e)
		if !f.closed.Load() || e.Err() != nil {
			t.Errorf("decoder closed %t, Err %v", f.closed.Load(), e.Err())
		}
	})
	t.Run("cuts short", func(t *testing.T) {
		f := newFake(1, 1<<20, 16)
		e := New(f, Options{}, nil)
		g, err := e.Submit(context.Background(), Request{Prompt: prompt("hi"), MaxTokens: 1 << 19, Logprobs: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := e.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v, want canceled", err)
		}
		if got := readAll(g); !errors.Is(got.err, ErrEngine) {
			t.Errorf("got %v, want ErrEngine", got.err)
		}
	})
}

func TestRefused(t *testing.T) {
	e := New(newFake(1, 32, 16), Options{}, nil)
	defer closeEngine(t, e)
	ok := Request{Prompt: prompt("hi"), MaxTokens: 1, Logprobs: -1}
	nan := func() float64 { z := 0.0; return z / z }()
	tests := map[string]struct {
		change func(*Request)
		field  string
	}{
		"no prompt":       {func(r *Request) { r.Prompt = nil }, "prompt"},
		"foreign token":   {func(r *Request) { r.Prompt = []Token{1, fakeVocab} }, "prompt"},
		"negative token":  {func(r *Request) { r.Prompt = []Token{-1} }, "prompt"},
		"no tokens":       {func(r *Request) { r.MaxTokens = 0 }, "max_tokens"},
		"logprobs":        {func(r *Request) { r.Logprobs = MaxLogprobs + 1 }, "logprobs"},
		"empty stop":      {func(r *Request) { r.Stop = []string{"a", ""} }, "stop"},
		"stop bytes":      {func(r *Request) { r.Stop = []string{"\xff"} }, "stop"},
		"long stops":      {func(r *Request) { r.Stop = []string{strings.Repeat("a", MaxStopBytes+1)} }, "stop"},
		"temperature":     {func(r *Request) { r.Sampling.Temperature = -1 }, "temperature"},
		"temperature nan": {func(r *Request) { r.Sampling.Temperature = nan }, "temperature"},
		"top_p":           {func(r *Request) { r.Sampling.TopP = 1.1 }, "top_p"},
		"top_k":           {func(r *Request) { r.Sampling.TopK = -1 }, "top_k"},
		"min_p":           {func(r *Request) { r.Sampling.MinP = nan }, "min_p"},
		"typical_p":       {func(r *Request) { r.Sampling.TypicalP = 2 }, "typical_p"},
		"repetition":      {func(r *Request) { r.Sampling.RepetitionPenalty = -1 }, "repetition_penalty"},
		"presence":        {func(r *Request) { r.Sampling.PresencePenalty = nan }, "presence_penalty"},
		"frequency":       {func(r *Request) { r.Sampling.FrequencyPenalty = 1e9 }, "frequency_penalty"},
		"bias token":      {func(r *Request) { r.Sampling.LogitBias = map[Token]float64{fakeVocab: 1} }, "logit_bias"},
		"bias":            {func(r *Request) { r.Sampling.LogitBias = map[Token]float64{1: nan} }, "logit_bias"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := ok
			test.change(&r)
			_, err := e.Submit(context.Background(), r)
			var parameter *ParameterError
			if !errors.As(err, &parameter) || parameter.Field != test.field {
				t.Errorf("Submit: %v, want a ParameterError of %s", err, test.field)
			}
		})
	}
	long := ok
	long.Prompt = prompt(strings.Repeat("a", 32))
	_, err := e.Submit(context.Background(), long)
	var context *ContextError
	if !errors.As(err, &context) || *context != (ContextError{Prompt: 32, Context: 32}) {
		t.Errorf("a prompt as long as the context: %v", err)
	}
}

// A long prompt must not delay running answers: every step has their tokens and a bounded part of the prompt.
func TestLongPromptSharesTheSteps(t *testing.T) {
	f := newFake(2, 4096, 64)
	f.gate = make(chan struct{})
	e := New(f, Options{SharedChunk: 8}, nil)
	first, err := e.Submit(context.Background(), Request{Prompt: prompt("hi"), MaxTokens: 200, Logprobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	f.gate <- struct{}{}
	f.gate <- struct{}{}
	second, err := e.Submit(context.Background(), Request{Prompt: prompt(strings.Repeat("q", 500)), MaxTokens: 2, Logprobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	close(f.gate)
	if a, b := readAll(first), readAll(second); a.err != nil || b.err != nil {
		t.Fatalf("%v, %v", a.err, b.err)
	}
	shared := 0
	for i, entries := range f.seen() {
		of := [2]int{}
		for _, entry := range entries {
			of[entry.Sequence]++
		}
		if of[1] > 1 {
			shared++
			if of[0] != 1 || of[1] > 8 {
				t.Errorf("step %d has %v entries, want 1 and at most 8", i, of)
			}
		}
	}
	if shared < 500/8 {
		t.Errorf("%d steps contain the long prompt, want at least %d", shared, 500/8)
	}
	closeEngine(t, e)
}

// Many short requests, some cancelled at random: no sequence is lost and every answer ends.
func TestSoak(t *testing.T) {
	f := newFake(4, 128, 32)
	e := New(f, Options{MaxQueue: 64, SharedChunk: 5, CopyAtLeast: 4}, nil)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 150 {
				ctx, cancel := context.WithCancel(context.Background())
				g, err := e.Submit(ctx, Request{
					Prompt: prompt(strings.Repeat("p", 1+random.IntN(40))), MaxTokens: 1 + random.IntN(12), Logprobs: random.IntN(4) - 1,
					Stop: []string{"ab"}, Sampling: Sampling{Temperature: 1, Seed: random.Uint64()},
				})
				if err != nil {
					t.Errorf("Submit: %v", err)
					cancel()
					return
				}
				if random.IntN(3) == 0 {
					g.Next(ctx) //nolint:errcheck // whichever comes first
					cancel()
				}
				if got := readAll(g); got.err != nil && !errors.Is(got.err, context.Canceled) {
					t.Errorf("answer: %v", got.err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	closeEngine(t, e)
	if s := e.Stats(); s.Running != 0 || s.Queued != 0 {
		t.Errorf("stats after the end: %+v", s)
	}
}

func TestDetokenize(t *testing.T) {
	e := New(newFake(1, 32, 16), Options{}, nil)
	defer closeEngine(t, e)
	got := e.Detokenize([]Token{0xe2, 0x82, 0xac, 0xff, 'a', fakeEOS, 0xe2, 0x82, -5, 9999}, true)
	if diff := cmp.Diff("€\ufffda<eos>\ufffd\ufffd", got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Info{VocabSize: fakeVocab, ContextSize: 32, Sequences: 1}, e.Info()); diff != "" {
		t.Error(diff)
	}
}
