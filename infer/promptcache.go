package infer

import "slices"

// stateKeeper is a Decoder that can save and restore sequences, such as infer/llamacpp's.
type stateKeeper interface {
	// SaveSequence returns a copy of a sequence's cache.
	SaveSequence(seq int) ([]byte, error)
	// RestoreSequence replaces a sequence by a saved one of that many tokens.
	RestoreSequence(seq int, state []byte, tokens int) error
}

// savedState is the cache of an evicted sequence.
type savedState struct {
	tokens []Token
	state  []byte
	used   uint64 // step of its last use
}

// savedStates keeps sequences within a budget of bytes and evicts the least recently used. The loop owns it.
type savedStates struct {
	budget int64 // bytes
	bytes  int64
	all    []savedState
}

// longest finds the state with the longest common prefix with a prompt, whose last token does not count because it must be
// decoded. index is -1 if no state shares a token.
func (s *savedStates) longest(prompt []Token) (index, prefix int) {
	index = -1
	for i, saved := range s.all {
		if n := commonPrefix(saved.tokens, prompt[:len(prompt)-1]); n > prefix {
			index, prefix = i, n
		}
	}
	return index, prefix
}

// holds reports whether a state begins with these tokens.
func (s *savedStates) holds(tokens []Token) bool {
	return slices.ContainsFunc(s.all, func(saved savedState) bool { return commonPrefix(saved.tokens, tokens) == len(tokens) })
}

// add keeps a state and drops the states that are a prefix of it.
func (s *savedStates) add(saved savedState) {
	size := int64(len(saved.state))
	if size > s.budget {
		return
	}
	for i := len(s.all) - 1; i >= 0; i-- {
		if old := s.all[i].tokens; commonPrefix(old, saved.tokens) == len(old) {
			s.remove(i)
		}
	}
	for s.bytes+size > s.budget {
		oldest := 0
		for i, other := range s.all {
			if other.used < s.all[oldest].used {
				oldest = i
			}
		}
		s.remove(oldest)
	}
	s.all = append(s.all, saved)
	s.bytes += size
}

func (s *savedStates) remove(i int) {
	s.bytes -= int64(len(s.all[i].state))
	s.all = slices.Delete(s.all, i, i+1)
}

// saveBefore saves a sequence before it is cut to its first kept tokens, if it would lose at least SaveAtLeast tokens. A
// failure costs only the time to prefill a prompt again.
func (l *loop) saveBefore(sequence, kept int) {
	s := &l.sequences[sequence]
	if l.keeper == nil || len(s.tokens)-kept < l.opts.SaveAtLeast || l.saved.holds(s.tokens) {
		return
	}
	state, err := l.keeper.SaveSequence(sequence)
	if err != nil {
		l.log.Warn("cannot save a sequence for the prompt cache", "tokens", len(s.tokens), "error", err)
		return
	}
	l.saved.add(savedState{tokens: slices.Clone(s.tokens), state: state, used: l.step})
}

// restoreCost is the number of tokens that can surely be copied in the time it takes to prefill one. A CPU copies about 60 to
// 100.
const restoreCost = 32

// restore replaces the chosen sequence by a saved one if that saves enough prefill: at least a quarter of SaveAtLeast, and at
// least the cost of the copies. After a failure the sequence is unchanged or empty.
func (l *loop) restore(prompt []Token, c *choice) {
	i, prefix := l.saved.longest(prompt)
	if i < 0 || c.copyFrom >= 0 {
		return
	}
	copies := len(l.saved.all[i].tokens) + len(l.sequences[c.sequence].tokens)
	if prefix-c.reuse < max(l.opts.SaveAtLeast/4, copies/restoreCost) {
		return
	}
	l.saveBefore(c.sequence, 0)
	if i, prefix = l.saved.longest(prompt); i < 0 {
		return // saveBefore evicted it
	}
	s, saved := &l.sequences[c.sequence], &l.saved.all[i]
	if err := l.keeper.RestoreSequence(c.sequence, saved.state, len(saved.tokens)); err != nil {
		l.log.Warn("cannot restore a saved sequence", "tokens", len(saved.tokens), "error", err)
		l.saved.remove(i)
		s.tokens, c.reuse = s.tokens[:0], 0
		return
	}
	saved.used = l.step
	s.tokens = append(s.tokens[:0], saved.tokens...)
	c.reuse = prefix
}
