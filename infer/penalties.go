package infer

// penalties counts the tokens of one answer and its prompt. The prompt's tokens count only for the repetition penalty.
type penalties struct {
	repetition float32 // 1: neutral
	window     int     // tokens that the repetition penalty looks back; 0: all
	history    []Token // with a window: all tokens so far
	tokens     []seenToken
	index      map[Token]int32 // into tokens
}

type seenToken struct {
	token  Token
	count  int32 // times generated
	recent int32 // times within the window
}

func newPenalties(req Request, repetition bool) *penalties {
	p := &penalties{repetition: 1, index: make(map[Token]int32)}
	if !repetition {
		return p
	}
	p.repetition, p.window = float32(req.Sampling.RepetitionPenalty), req.Sampling.RepetitionWindow
	prompt := req.Prompt
	if p.window > 0 {
		prompt = prompt[max(0, len(prompt)-p.window):]
	}
	for _, t := range prompt {
		p.remember(t)
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

// remember moves the window on by a token.
func (p *penalties) remember(t Token) *seenToken {
	seen := p.see(t)
	if p.window == 0 {
		return seen
	}
	seen.recent++
	p.history = append(p.history, t)
	if left := len(p.history) - p.window - 1; left >= 0 {
		p.see(p.history[left]).recent--
	}
	return seen
}

func (p *penalties) generated(t Token) { p.remember(t).count++ }

// apply saves the logits of the tokens seen, then changes them.
func (p *penalties) apply(s Sampling, logits []float32, sc *scratch) {
	frequency, presence := float32(s.FrequencyPenalty), float32(s.PresencePenalty)
	for _, t := range p.tokens {
		x := logits[t.token]
		sc.saved = append(sc.saved, weighted{t.token, x})
		switch {
		case p.window > 0 && t.recent == 0:
		case x > 0:
			x /= p.repetition
		default:
			x *= p.repetition
		}
		if t.count > 0 {
			x -= frequency*float32(t.count) + presence
		}
		logits[t.token] = x
	}
}
