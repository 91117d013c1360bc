package infer

// penalties counts the tokens of one answer and its prompt. The prompt's tokens count only for the repetition penalty.
type penalties struct {
	repetition float32 // 1: neutral
	tokens     []seenToken
	index      map[Token]int32 // into tokens
}

type seenToken struct {
	token Token
	count int32 // times generated
}

func newPenalties(req Request, repetition bool) *penalties {
	p := &penalties{repetition: 1, index: make(map[Token]int32)}
	if repetition {
		p.repetition = float32(req.Sampling.RepetitionPenalty)
		for _, t := range req.Prompt {
			p.see(t)
		}
	}
	return p
}

func (p *penalties) see(t Token) *seenToken {
	i, ok := p.index[t]
	if !ok {
		i = int32(len(p.tokens))
		p.index[t] = i
		p.tokens = append(p.tokens, seenToken{token: t})
	}
	return &p.tokens[i]
}

func (p *penalties) generated(t Token) { p.see(t).count++ }

// apply saves the logits of the tokens seen, then changes them.
func (p *penalties) apply(s Sampling, logits []float32, sc *scratch) {
	frequency, presence := float32(s.FrequencyPenalty), float32(s.PresencePenalty)
	for _, t := range p.tokens {
		x := logits[t.token]
		sc.saved = append(sc.saved, weighted{t.token, x})
		if x > 0 {
			x /= p.repetition
		} else {
			x *= p.repetition
		}
		if t.count > 0 {
			x -= frequency*float32(t.count) + presence
		}
		logits[t.token] = x
	}
}
