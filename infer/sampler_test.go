package infer

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomLogits is a distribution with the spread of a language model's: a bulk of unlikely tokens and a few likely ones.
func randomLogits(n int, seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, 3))
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(random.NormFloat64()*2.5 - 3)
	}
	for range 30 {
		logits[random.IntN(n)] += float32(6 + random.ExpFloat64()*3)
	}
	return logits
}

// reference returns the distribution for the settings, computed by full sorts in float64. logits already include penalties.
func reference(s Sampling, logits []float32) map[Token]float64 {
	type tp struct {
		t Token
		p float64
	}
	var all []tp
	largest := float64(slices.Max(logits))
	for t, x := range logits {
		all = append(all, tp{Token(t), math.Exp((float64(x) - largest) / s.Temperature)})
	}
	slices.SortStableFunc(all, func(a, b tp) int { return cmp.Compare(b.p, a.p) })
	if s.MinP > 0 {
		all = slices.DeleteFunc(all, func(x tp) bool { return x.p < s.MinP })
	}
	if s.TopK > 0 {
		all = all[:min(s.TopK, len(all))]
	}
	sum := func() (total float64) {
		for _, x := range all {
			total += x.p
		}
		return total
	}
	cut := func(p float64) {
		total, held := sum(), 0.0
		for i, x := range all {
			if held += x.p; held >= p*total {
				all = all[:i+1]
				return
			}
		}
	}
	if s.TypicalP > 0 && s.TypicalP < 1 {
		total, entropy := sum(), 0.0
		for _, x := range all {
			if x.p > 0 {
				entropy -= x.p / total * math.Log(x.p/total)
			}
		}
		distance := func(x tp) float64 { return math.Abs(-math.Log(x.p/total) - entropy) }
		slices.SortStableFunc(all, func(a, b tp) int { return cmp.Compare(distance(a), distance(b)) })
		cut(s.TypicalP)
		slices.SortStableFunc(all, func(a, b tp) int { return cmp.Compare(b.p, a.p) })
	}
	if s.TopP > 0 && s.TopP < 1 {
		cut(s.TopP)
	}
	total, out := sum(), map[Token]float64{}
	for _, x := range all {
		out[x.t] = x.p / total
	}
	return out
}

func TestDrawFollowsTheDistribution(t *testing.T) {
	tests := map[string]Sampling{
		"temperature":      {Temperature: 1},
		"hot":              {Temperature: 1.7},
		"cold":             {Temperature: 0.3},
		"top_k":            {Temperature: 1, TopK: 5},
		"top_k 1":          {Temperature: 1, TopK: 1},
		"top_k beyond":     {Temperature: 1, TopK: 10000},
		"top_p":            {Temperature: 1, TopP: 0.8},
		"top_p nearly all": {Temperature: 1, TopP: 0.999},
		"top_p nothing":    {Temperature: 1, TopP: 1e-9},
		"min_p":            {Temperature: 1, MinP: 0.05},
		"min_p hot":        {Temperature: 2, MinP: 0.05},
		"min_p all":        {Temperature: 1, MinP: 1},
		"typical":          {Temperature: 1, TypicalP: 0.7},
		"all":              {Temperature: 0.9, TopK: 20, TopP: 0.9, MinP: 0.01, TypicalP: 0.95},
		"k and p":          {Temperature: 1.2, TopK: 12, TopP: 0.7},
		"min_p and p":      {Temperature: 1.2, MinP: 0.02, TopP: 0.7},
		"typical and p":    {Temperature: 1.2, TypicalP: 0.9, TopP: 0.7},
	}
	const vocab, draws = 600, 20000
	logits := randomLogits(vocab, 11)
	for name, settings := range tests {
		t.Run(name, func(t *testing.T) {
			want := reference(settings, logits)
			s, sc := newSampler(Request{Sampling: settings, Logprobs: -1}), newScratch(vocab, nil)
			counts := map[Token]int{}
			for range draws {
				got, err := s.next(logits, sc)
				if err != nil {
					t.Fatal(err)
				}
				counts[got.Token]++
			}
			for token, n := range counts {
				if want[token] == 0 {
					t.Fatalf("token %d was drawn %d times, want it cut off", token, n)
				}
			}
			for token, p := range want {
				// Five standard deviations: by chance one test in a few million would fail, and the seed is fixed.
				expect, tolerance := p*draws, 5*math.Sqrt(p*(1-p)*draws)+1
				if got := float64(counts[token]); math.Abs(got-expect) > tolerance {
					t.Errorf("token %d drawn %g times, want %g +- %g", token, got, expect, tolerance)
				}
			}
		})
	}
}

// A shortlist of tokens gives the same result as all tokens, even if the least likely tokens are the typical ones.
func TestTypicalOfAll(t *testing.T) {
	const vocab = 3000
	spike := make([]float32, vocab)
	spike[7] = float32(math.Log(vocab)) // half of the mass; the rest is the same for all others
	slope := make([]float32, vocab)
	for i := range slope {
		slope[i] = -float32(i) / 20
	}
	for name, logits := range map[string][]float32{"random": randomLogits(vocab, 3), "spike": spike, "slope": slope, "flat": make([]float32, vocab)} {
		for _, p := range []float64{0.05, 0.3, 0.5, 0.9, 0.999} {
			for _, temperature := range []float32{0.5, 1, 2} {
				sc := newScratch(vocab, nil)
				_, largest := argmax(logits)
				total := typicalOfAll(logits, largest, 1/temperature, p, sc)
				var all []candidate
				for i, x := range logits {
					if c := newCandidate(Token(i), (x-largest)/temperature); c.prob > 0 {
						all = append(all, c)
					}
				}
				want := keepTypical(all, mass(all), p)
				kept := map[Token]bool{}
				for _, c := range want {
					kept[c.token] = true
				}
				for _, c := range sc.candidates {
					delete(kept, c.token)
				}
				// If all others are equal, the rounding of a sum decides whether one more is kept.
				if extra := len(sc.candidates) - (len(want) - len(kept)); len(kept) > 1 || extra > 1 || math.Abs(total-mass(want)) > 1e-3*total {
					t.Errorf("%s, p %g, temperature %g: %d tokens with %g, want %d with %g", name, p, temperature,
						len(sc.candidates), total, len(want), mass(want))
				}
			}
		}
	}
}

func TestKeepMassIsTheSortedPrefix(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		n := 1 + random.IntN(400)
		candidates := make([]candidate, n)
		for i := range candidates {
			p := float32(math.Ldexp(1, -random.IntN(20))) // many equal, sums exact
			candidates[i] = candidate{token: Token(i), prob: p, key: p}
		}
		random.Shuffle(n, func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		target := mass(candidates) * random.Float64()
		sorted := slices.Clone(candidates)
		slices.SortFunc(sorted, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.token, b.token))
		})
		held, want := 0.0, 0
		for want < n && (held < target || want == 0) {
			held += float64(sorted[want].prob)
			want++
		}
		got := keepMass(candidates, target)
		slices.SortFunc(got, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.token, b.token))
		})
		if !slices.Equal(got, sorted[:want]) {
			t.Fatalf("%d candidates, target %g: kept %d, want %d", n, target, len(got), want)
		}
	}
}

func TestLargestK(t *testing.T) {
	logits := []float32{1, 5, 3, 5, float32(math.NaN()), 2, 5, float32(math.Inf(-1)), -4}
	tests := []struct {
		k     int
		least float32
		want  string
	}{
		{0, -100, "[]"},
		{2, -100, "[{1 5} {3 5}]"},
		{4, -100, "[{1 5} {3 5} {6 5} {2 3}]"},
		{9, 2, "[{1 5} {3 5} {6 5} {2 3} {5 2}]"},
	}
	for _, test := range tests {
		if got := fmt.Sprint(largestK(logits, test.least, test.k, []weighted{})); got != test.want {
			t.Errorf("largestK(%d, least %g) = %s, want %s", test.k, test.least, got, test.want)
		}
	}
}

func TestExp32(t *testing.T) {
	worst := 0.0
	for x := float32(0); x > -87; x -= 0.00137 {
		want := math.Exp(float64(x))
		worst = max(worst, math.Abs(float64(exp32(x))-want)/want)
	}
	xs, ps := make([]float32, 500), make([]float32, 500)
	for i := range xs {
		xs[i] = 3 - float32(i)*0.2
	}
	sum := expBlock(ps, xs, 3, 0.9)
	for i, x := range xs {
		if want := exp32((x - 3) * 0.9); ps[i] != want {
			t.Errorf("expBlock gives %g for %g, exp32 %g", ps[i], x, want)
		}
		sum -= ps[i]
	}
	if math.Abs(float64(sum)) > 1e-5 {
		t.Errorf("the sum is off by %g", sum)
	}
	if worst > 3e-7 || exp32(0) != 1 || exp32(-88) != 0 || exp32(float32(math.Inf(-1))) != 0 || exp32(float32(math.NaN())) != 0 {
		t.Errorf("worst relative error %g, want 3e-7; exp32(0) = %g", worst, exp32(0))
	}
}

func TestGreedyAndBias(t *testing.T) {
	tests := map[string]struct {
		sampling Sampling
		prompt   []Token
		logits   []float32
		want     []Token // of one step after another on the same logits
	}{
		"tie":                 {Sampling{}, nil, []float32{1, 3, 3}, []Token{1, 1}},
		"bias":                {Sampling{LogitBias: map[Token]float64{0: 2.5}}, nil, []float32{1, 3, 3}, []Token{0, 0}},
		"ban":                 {Sampling{LogitBias: map[Token]float64{1: -100}}, nil, []float32{1, 3, 2}, []Token{2, 2}},
		"presence":            {Sampling{PresencePenalty: 1.5}, nil, []float32{2, 3, 1}, []Token{1, 0, 1, 1}},
		"frequency":           {Sampling{FrequencyPenalty: 0.6}, nil, []float32{2, 3, 1}, []Token{1, 1, 0, 1}},
		"repetition":          {Sampling{RepetitionPenalty: 2}, nil, []float32{2, 3, -1}, []Token{1, 0, 1}},
		"repetition, prompt":  {Sampling{RepetitionPenalty: 2}, []Token{1}, []float32{2, 3, -1}, []Token{0, 1}},
		"repetition, below 0": {Sampling{RepetitionPenalty: 3}, []Token{0}, []float32{-1, -2, -9}, []Token{1, 0}},
		"presence, prompt":    {Sampling{PresencePenalty: 2}, []Token{1}, []float32{2, 3, 1}, []Token{1, 0}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSampler(Request{Prompt: test.prompt, Sampling: test.sampling, Logprobs: -1})
			var got []Token
			for range test.want {
				next, err := s.next(slices.Clone(test.logits), newScratch(len(test.logits), nil))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, next.Token)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// Log probabilities are the model's own, before bias and penalties.
func TestLogprobsAreTheModels(t *testing.T) {
	logits := []float32{1, 4, 2, 0}
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x))
	}
	s := newSampler(Request{
		Prompt:   []Token{2},
		Logprobs: 3,
		Sampling: Sampling{LogitBias: map[Token]float64{2: 50}, RepetitionPenalty: 1.5, PresencePenalty: 1},
	})
	for range 3 {
		got, err := s.next(slices.Clone(logits), newScratch(len(logits), nil))
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 - math.Log(sum); got.Token != 2 || math.Abs(got.Logprob-want) > 1e-6 {
			t.Errorf("token %d with %g, want 2 with %g", got.Token, got.Logprob, want)
		}
		for i, token := range []Token{1, 2, 0} {
			if want := float64(logits[token]) - math.Log(sum); got.Top[i].Token != token || math.Abs(got.Top[i].Logprob-want) > 1e-6 {
				t.Errorf("top %d is %+v, want %d with %g", i, got.Top[i], token, want)
			}
		}
	}
}

func TestBadLogits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, logits := range map[string][]float32{"none": nil, "short": {1}, "nan": {nan, nan}, "inf": {inf, 1}, "-inf": {-inf, -inf}} {
		for _, temperature := range []float64{0, 1} {
			s := newSampler(Request{Sampling: Sampling{Temperature: temperature}, Logprobs: 1})
			if got, err := s.next(logits, newScratch(2, nil)); err == nil {
				t.Errorf("%s at temperature %g: got %+v, want an error", name, temperature, got)
			}
		}
	}
	s := newSampler(Request{Sampling: Sampling{Temperature: 1}, Logprobs: 1})
	if got, err := s.next([]float32{nan, 1}, newScratch(2, nil)); err != nil || got.Token != 1 {
		t.Errorf("one finite logit: got %+v, %v, want token 1", got, err)
	}
}

func BenchmarkSampler(b *testing.B) {
	const vocab = 49152
	base := randomLogits(vocab, 1)
	prompt := make([]Token, 500)
	for i := range prompt {
		prompt[i] = Token(i * 7)
	}
	for _, c := range []struct {
		name string
		req  Request
	}{
		{"greedy", Request{Logprobs: -1}},
		{"temperature", Request{Logprobs: -1, Sampling: Sampling{Temperature: 1}}},
		{"top_p", Request{Logprobs: -1, Sampling: Sampling{Temperature: 0.8, TopP: 0.95}}},
		{"top_k", Request{Logprobs: -1, Sampling: Sampling{Temperature: 0.8, TopK: 40, TopP: 0.95}}},
		{"min_p", Request{Logprobs: -1, Sampling: Sampling{Temperature: 0.8, MinP: 0.05}}},
		{"typical", Request{Logprobs: -1, Sampling: Sampling{Temperature: 0.8, TypicalP: 0.9}}},
		{"penalties", Request{Logprobs: -1, Prompt: prompt, Sampling: Sampling{Temperature: 0.8, TopP: 0.95, RepetitionPenalty: 1.1, PresencePenalty: 0.5}}},
		{"logprobs", Request{Logprobs: 20}},
		{"all", Request{Logprobs: 5, Prompt: prompt, Sampling: Sampling{Temperature: 0.8, TopP: 0.95, TopK: 100, MinP: 0.01, RepetitionPenalty: 1.1}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, sc, logits := newSampler(c.req), newScratch(vocab, nil), make([]float32, vocab)
			b.ReportAllocs()
			for b.Loop() {
				copy(logits, base)
				if _, err := s.next(logits, sc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
