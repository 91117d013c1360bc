package infer

import "unicode/utf8"

// textBuffer converts bytes to valid UTF-8. It holds a character back until all its bytes have arrived, and replaces each
// invalid byte by U+FFFD, as a conversion to []rune does.
type textBuffer struct {
	raw  []byte // at most utf8.UTFMax-1 bytes between writes
	text []byte
}

func (b *textBuffer) write(p []byte) {
	if len(b.raw) == 0 && utf8.Valid(p) {
		b.text = append(b.text, p...)
		return
	}
	b.raw = append(b.raw, p...)
	rest := b.raw
	for utf8.FullRune(rest) {
		r, size := utf8.DecodeRune(rest)
		b.text = utf8.AppendRune(b.text, r)
		rest = rest[size:]
	}
	b.raw = b.raw[:copy(b.raw, rest)]
}

// flush replaces the bytes of incomplete characters by U+FFFD.
func (b *textBuffer) flush() {
	for range b.raw {
		b.text = utf8.AppendRune(b.text, utf8.RuneError)
	}
	b.raw = b.raw[:0]
}

// take returns the complete text; it is valid until the next write.
func (b *textBuffer) take() []byte {
	text := b.text
	b.text = b.text[:0]
	return text
}

// answerText is the text of one answer between the sampler and the client. It holds back characters until they are
// complete, text while it may be the start of a stop string, and tokens until it releases their text.
type answerText struct {
	utf    textBuffer
	stop   *stopMatcher // nil without stop strings
	state  int32        // of stop
	held   []byte       // text not taken yet; its first ready bytes can be taken
	ready  int
	total  int    // bytes of text so far, taken or not
	match  string // the stop string that ended the answer
	tokens []heldToken
	out    []TokenInfo // take returned these
}

// heldToken is a token and the position of its text in the answer.
type heldToken struct {
	info       TokenInfo
	start, end int // bytes; end is beyond the total while its last character is incomplete
}

func newAnswerText(stops []string) *answerText {
	a := &answerText{}
	if len(stops) > 0 {
		a.stop = newStopMatcher(stops)
	}
	return a
}

// add appends the bytes of the next token, and its description if the client wants it. It reports whether they complete
// a stop string: the answer then ends before it.
func (a *answerText) add(piece []byte, info *TokenInfo) (stopped bool) {
	start := a.total
	a.utf.write(piece)
	stopped = a.extend(a.utf.take())
	if info != nil {
		end := a.total
		if len(a.utf.raw) > 0 {
			end++
		}
		a.tokens = append(a.tokens, heldToken{info: *info, start: start, end: end})
	}
	if stopped {
		a.cut()
	}
	return stopped
}

// extend appends valid text, up to the start of the first stop string that it completes.
func (a *answerText) extend(text []byte) (stopped bool) {
	a.held = append(a.held, text...)
	a.total += len(text)
	if a.stop == nil {
		a.ready = len(a.held)
		return false
	}
	for i, c := range text {
		a.state = a.stop.next(a.state, c)
		if length := a.stop.matched(a.state); length > 0 {
			drop := len(text) - 1 - i + length
			a.match = string(a.held[len(a.held)-drop:][:length])
			a.held = a.held[:len(a.held)-drop]
			a.total -= drop
			return true
		}
	}
	a.ready = len(a.held) - a.stop.pending(a.state)
	return false
}

// end releases all held text: no more tokens follow.
func (a *answerText) end() {
	a.utf.flush()
	a.extend(a.utf.take())
	a.cut()
}

// cut ends the answer's text here.
func (a *answerText) cut() {
	a.ready = len(a.held)
	a.utf.raw = a.utf.raw[:0]
	kept := a.tokens[:0]
	for i, t := range a.tokens {
		// Tokens without text at the end of the answer stay.
		if t.start < a.total || (i == 0 && t.start == a.total && t.end == t.start) {
			t.end = min(t.end, a.total)
			kept = append(kept, t)
		}
	}
	a.tokens = kept
}

// take returns the released text and tokens; both are valid until the next call on a.
func (a *answerText) take() (text []byte, tokens []TokenInfo) {
	released := a.total - (len(a.held) - a.ready)
	a.out = a.out[:0]
	n := 0
	for n < len(a.tokens) && a.tokens[n].end <= released {
		a.out = append(a.out, a.tokens[n].info)
		n++
	}
	if n > 0 {
		a.tokens = a.tokens[:copy(a.tokens, a.tokens[n:])]
	}
	if a.ready == 0 {
		return nil, a.out
	}
	text = a.takeHeld()
	return text, a.out
}

// takeHeld moves the released text to the front buffer and keeps the rest.
func (a *answerText) takeHeld() []byte {
	a.utf.text = append(a.utf.text[:0], a.held[:a.ready]...)
	text := a.utf.text
	a.utf.text = a.utf.text[:0]
	a.held = a.held[:copy(a.held, a.held[a.ready:])]
	a.ready = 0
	return text
}
