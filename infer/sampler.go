package infer

import (
	"errors"
	"math"
	"math/rand/v2"
)

// errLogits reports a model that computed no usable distribution.
var errLogits = errors.New("the model computed no finite logits")

// sampler chooses the tokens of one answer. It changes logits in this order, which is vLLM's:
//
//	logit bias, repetition penalty, frequency and presence penalty, temperature, min_p, top_k, typical_p, top_p, infill
//
// Then it draws one token from the renormalised rest. If a grammar forbids that token, the sampler starts again with only
// the tokens that the grammar allows. Log probabilities are those of the model's own distribution, before any change. Each
// answer has its own random generator, so the same seed and logits give the same tokens whatever else the engine runs.
type sampler struct {
	Sampling
	logprobs  int
	random    *rand.Rand
	bias      []weighted
	penalties *penalties // nil when none is set
	top       []tokenLogprob
	grammar   *constraint // nil: no grammar
	thought   *thought    // nil: no thinking
	infill    *infill     // nil: no infill sampler
}

// weighted is a token with its logit, bias or unnormalised probability.
type weighted struct {
	token Token
	value float32
}

// sampled is a chosen token. The log probabilities are set if the request wants them; Top is valid until the next call.
type sampled struct {
	Token   Token
	Logprob float64
	Top     []tokenLogprob
	Ended   bool // the grammar allows no further token
}

type tokenLogprob struct {
	Token   Token
	Logprob float64
}

// scratch is the memory for sampling. Answers that one goroutine samples one after another share it.
type scratch struct {
	math       vectorMath // nil: Go's own
	probs      []float32  // float32[vocab], unnormalised probabilities
	blocks     []float64  // sums of probs over blocks of probBlock
	sums       []float32  // the same sums as math returns them
	candidates []candidate
	saved      []weighted // logits before bias and penalties
	top, top2  []weighted // largest logits: the model's, and for top_k
	allowed    []weighted // by a grammar
}

func scratchFor(dec interface{ VocabSize() int }) *scratch {
	vectors, _ := dec.(vectorMath) // nil: Go's own
	return newScratch(dec.VocabSize(), vectors)
}

func newScratch(vocab int, vectors vectorMath) *scratch {
	return &scratch{
		math:       vectors,
		sums:       make([]float32, (vocab+probBlock-1)/probBlock),
		probs:      make([]float32, vocab),
		blocks:     make([]float64, (vocab+probBlock-1)/probBlock),
		candidates: make([]candidate, 0, vocab),
	}
}

// pcgStream is the second half of the generator's state; the seed is the first.
const pcgStream = 0x9e3779b97f4a7c15

func newSampler(req Request) *sampler {
	s := &sampler{Sampling: req.Sampling, logprobs: req.Logprobs, random: rand.New(rand.NewPCG(req.Sampling.Seed, pcgStream))}
	for t, b := range req.Sampling.LogitBias {
		s.bias = append(s.bias, weighted{t, float32(b)})
	}
	repetition := s.RepetitionPenalty != 0 && s.RepetitionPenalty != 1
	if repetition || s.PresencePenalty != 0 || s.FrequencyPenalty != 0 {
		s.penalties = newPenalties(req, repetition)
	}
	return s
}

// next chooses a token from float32[vocab] logits, which it may change.
func (s *sampler) next(logits []float32, sc *scratch) (sampled, error) {
	if len(logits) != len(sc.probs) || len(logits) == 0 {
		return sampled{}, errLogits
	}
	likeliest, largest := sc.argmax(logits)
	if math.IsInf(float64(largest), 0) {
		return sampled{}, errLogits
	}
	var normaliser float64
	if s.logprobs >= 0 {
		sum := exponentials(logits, largest, 1, sc)
		if !(sum > 0) {
			return sampled{}, errLogits
		}
		normaliser = float64(largest) + math.Log(sum)
		sc.top = largestK(logits, float32(math.Inf(-1)), s.logprobs, sc.top[:0])
	}
	if s.modify(logits, sc) {
		likeliest, largest = sc.argmax(logits)
	}
	token, forced := s.thought.next()
	if !forced {
		var err error
		if token, err = s.choose(logits, likeliest, largest, sc); err != nil {
			return sampled{}, err
		}
	}
	out := sampled{Token: token}
	if s.grammar != nil {
		var err error
		if out.Ended, err = s.grammar.follow(token); err != nil {
			return sampled{}, err
		}
	}
	if s.penalties != nil {
		s.penalties.generated(token)
	}
	if s.logprobs >= 0 {
		out.Logprob = float64(original(token, logits, sc.saved)) - normaliser
		out.Top = s.describeTop(sc.top, normaliser)
	}
	return out, nil
}

// choose takes the likeliest token or draws one. With a grammar it tests that token first. Only if the grammar forbids
// it, choose tests the whole vocabulary and chooses one of the allowed tokens. Without truncation this draws from the
// allowed tokens with the model's probabilities.
func (s *sampler) choose(logits []float32, likeliest Token, largest float32, sc *scratch) (Token, error) {
	token, err := s.chooseFreely(logits, likeliest, largest, sc)
	if s.grammar == nil || err != nil {
		return token, err
	}
	if ok, err := s.grammar.allows(token); ok || err != nil {
		return token, err
	}
	if s.thought.inside() { // the token would skip the answer or begin it against the grammar
		return s.thought.cut(), nil
	}
	if ok, err := s.grammar.restrict(logits, sc); err != nil {
		return 0, err
	} else if !ok {
		return 0, errNoToken
	}
	likeliest, largest = sc.argmax(logits)
	return s.chooseFreely(logits, likeliest, largest, sc)
}

func (s *sampler) chooseFreely(logits []float32, likeliest Token, largest float32, sc *scratch) (Token, error) {
	if s.Temperature <= 0 {
		return likeliest, nil
	}
	token, ok := s.draw(logits, largest, sc)
	if !ok {
		return 0, errLogits
	}
	return token, nil
}

// modify applies bias and penalties in place and saves the logits that it changes. It reports whether it changed
// anything.
func (s *sampler) modify(logits []float32, sc *scratch) bool {
	sc.saved = sc.saved[:0]
	for _, b := range s.bias {
		sc.saved = append(sc.saved, weighted{b.token, logits[b.token]})
		logits[b.token] += b.value
	}
	if s.penalties != nil {
		s.penalties.apply(s.Sampling, logits, sc)
	}
	return len(sc.saved) > 0
}

// original returns a token's logit before modify, which is the first saved one.
func original(token Token, logits []float32, saved []weighted) float32 {
	for _, w := range saved {
		if w.token == token {
			return w.value
		}
	}
	return logits[token]
}

func (s *sampler) describeTop(top []weighted, normaliser float64) []tokenLogprob {
	s.top = s.top[:0]
	for _, w := range top {
		s.top = append(s.top, tokenLogprob{w.token, float64(w.value) - normaliser})
	}
	return s.top
}

// draw samples at a temperature above 0.
func (s *sampler) draw(logits []float32, largest float32, sc *scratch) (Token, bool) {
	// Below this temperature a draw always gives the likeliest token.
	inverse := float32(1 / math.Max(s.Temperature, 1e-6))
	topP, typical := below1(s.TopP), below1(s.TypicalP)
	if !topP && !typical && s.MinP == 0 && (s.TopK == 0 || s.TopK >= len(logits)) && s.infill == nil {
		sum := exponentials(logits, largest, inverse, sc)
		return sc.pickAll(s.random.Float64() * sum)
	}
	var total float64
	if typical && s.MinP == 0 && (s.TopK == 0 || s.TopK >= len(logits)) {
		total = typicalOfAll(logits, largest, inverse, s.TypicalP, sc)
	} else if total = s.shortlist(logits, largest, inverse, sc); typical {
		sc.candidates = keepTypical(sc.candidates, total, s.TypicalP)
		total = mass(sc.candidates)
	}
	if topP {
		for i := range sc.candidates {
			sc.candidates[i].key = sc.candidates[i].prob
		}
		sc.candidates = keepMass(sc.candidates, total*s.TopP)
	}
	if s.infill != nil {
		sc.candidates = s.infill.keep(sc.candidates)
	}
	return pick(sc.candidates, s.random.Float64())
}

func below1(p float64) bool { return p > 0 && p < 1 }

func newCandidate(t Token, logarithm float32) candidate {
	return candidate{token: t, prob: exp32(logarithm), key: logarithm}
}

// shortlist fills candidates with the tokens that min_p and top_k keep and returns their mass. For top_p alone it
// leaves out the tail that top_p never keeps; the mass is then still that of all tokens.
func (s *sampler) shortlist(logits []float32, largest, inverse float32, sc *scratch) float64 {
	sc.candidates = sc.candidates[:0]
	least := float32(math.Inf(-1))
	if s.MinP > 0 {
		least = largest + float32(math.Log(s.MinP))/inverse
	}
	switch {
	case s.TopK > 0 && s.TopK < len(logits):
		sc.top2 = largestK(logits, least, s.TopK, sc.top2[:0])
		for _, w := range sc.top2 {
			sc.candidates = append(sc.candidates, newCandidate(w.token, (w.value-largest)*inverse))
		}
	case s.MinP > 0:
		for t, x := range logits {
			if x >= least {
				sc.candidates = append(sc.candidates, newCandidate(Token(t), (x-largest)*inverse))
			}
		}
	default:
		sum := exponentials(logits, largest, inverse, sc)
		// The tokens below the floor have less than 1-p together, so the others reach p. The factor 1/2 allows for rounding.
		floor := float32((1 - s.TopP) * sum / float64(len(logits)) / 2)
		for t, p := range sc.probs {
			if p > floor {
				sc.candidates = append(sc.candidates, candidate{token: Token(t), prob: p, key: (logits[t] - largest) * inverse})
			}
		}
		return sum
	}
	return mass(sc.candidates)
}
