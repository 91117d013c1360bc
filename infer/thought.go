package infer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxMarkerBytes bounds each text of a Thinking.
const maxMarkerBytes = 4096

// thought tracks the model's thinking in the tokens of one answer. It is nil for a model that does not think.
//
// The engine separates thinking from answer, and not its caller. Grammars and stop strings apply only to the answer, and the budget
// only to the thinking.
type thought struct {
	split  *Splitter
	budget int
	begin  []Token          // the begin marker
	close  []Token          // the tokens that end the thinking
	marks  map[Token][]byte // control tokens in the markers, with their text
	forced []Token          // the next tokens, whatever the model would choose
	spent  int              // tokens of thinking so far
	tokens int              // the same including the begin marker
	early  []earlyToken     // tokens that may belong to the begin marker or to the answer
	text   textBuffer       // the thinking in whole characters
}

// earlyToken is a token of the answer, unless it turns out to belong to a begin marker.
type earlyToken struct {
	piece []byte
	info  *TokenInfo
}

// newThoughts returns a function that returns a new thought for each of a request's answers.
func (e *Engine) newThoughts(t Thinking) (func() *thought, error) {
	if t.End == "" {
		return func() *thought { return nil }, nil
	}
	if t.Close == "" {
		t.Close = t.End
	}
	marks := map[Token][]byte{}
	tokenize := func(text string) ([]Token, error) {
		tokens, err := e.dec.Tokenize(text, false, true)
		if err != nil {
			return nil, &ParameterError{Field: "thinking", Reason: err.Error()}
		}
		for _, token := range tokens {
			if len(e.dec.Piece(token, false)) == 0 {
				marks[token] = e.dec.Piece(token, true)
			}
		}
		return tokens, nil
	}
	begin, err := tokenize(t.Begin)
	if err != nil {
		return nil, err
	}
	if _, err := tokenize(t.End); err != nil {
		return nil, err
	}
	closing, err := tokenize(t.Close)
	if err != nil {
		return nil, err
	}
	if len(closing) == 0 {
		return nil, &ParameterError{Field: "thinking", Reason: "the text that ends it has no tokens"}
	}
	return func() *thought {
		out := &thought{split: NewSplitter(t), budget: t.Budget, begin: begin, close: closing, marks: marks}
		out.spend()
		return out
	}, nil
}

// validate returns a ParameterError if the markers are not valid.
func (t Thinking) validate() error {
	for _, text := range []struct{ name, value string }{{"begin", t.Begin}, {"end", t.End}, {"close", t.Close}} {
		switch {
		case len(text.value) > maxMarkerBytes:
			return &ParameterError{Field: "thinking", Reason: fmt.Sprintf("%s has %d bytes, must be at most %d", text.name, len(text.value), maxMarkerBytes)}
		case !utf8.ValidString(text.value) || strings.IndexByte(text.value, 0) >= 0:
			return &ParameterError{Field: "thinking", Reason: text.name + " is not valid UTF-8 or contains a NUL character"}
		}
	}
	if t.End != "" && t.Begin == "" && !t.Open {
		return &ParameterError{Field: "thinking", Reason: "it has no begin marker"}
	}
	return nil
}

// piece returns the text of a token for the splitter. A control token has text if a marker contains it.
func (t *thought) piece(token Token, piece []byte) []byte {
	if mark, ok := t.marks[token]; ok && t.split.state != answering {
		return mark
	}
	return piece
}

// inside reports whether the next token belongs to the thinking.
func (t *thought) inside() bool { return t != nil && t.split.state == thinking }

// next returns the token that must come next, if there is one.
func (t *thought) next() (Token, bool) {
	if t == nil || len(t.forced) == 0 {
		return 0, false
	}
	return t.forced[0], true
}

// cut ends the thinking instead of accepting a token. That token would end the answer, or contains the end marker and the
// beginning of an answer that the grammar forbids. cut returns the token that replaces it.
func (t *thought) cut() Token {
	held := t.split.held
	t.split.held = held[:len(held)-borderOf(t.split.end, held)] // the whole marker follows
	t.forced = t.close
	return t.forced[0]
}

// add processes the next token with its text and its log probabilities. It returns the text that is certainly thinking, which
// is valid until the next call, and the tokens that belong to the answer.
func (t *thought) add(token Token, piece []byte, info *TokenInfo) (thinking []byte, answer []earlyToken) {
	within := t.inside()
	early := t.split.state == undecided
	said, rest := t.split.Add(t.piece(token, piece))
	t.text.write(said)
	if within {
		t.spent++
	}
	if len(t.forced) > 0 {
		if t.forced = t.forced[1:]; len(t.forced) == 0 && t.inside() { // the tokens did not give the end marker
			said, _ = t.split.End(true)
			t.text.write(said)
			t.split.state = between
		}
	}
	switch {
	case early:
		t.early = append(t.early, earlyToken{piece, info})
		if t.split.begun {
			t.tokens, t.early = len(t.early), nil
			if len(rest) > 0 { // one token contains all of the thinking
				answer = []earlyToken{{rest, info}}
			}
		} else if t.split.state == answering {
			answer, t.early = t.early, nil
		}
	case within:
		t.tokens++
		if len(rest) > 0 {
			answer = []earlyToken{{rest, info}}
		}
	case t.split.state == answering:
		answer = []earlyToken{{rest, info}}
	}
	t.spend()
	if !t.inside() {
		t.text.flush()
	}
	return t.text.take(), answer
}

// spend ends the thinking when it has reached its budget and its last character is complete.
func (t *thought) spend() {
	if t.inside() && len(t.forced) == 0 && t.budget >= 0 && t.spent >= t.budget && len(t.text.raw) == 0 {
		t.forced = t.close
	}
}

// finish returns the text that add held back, after the end of the answer. full reports that the limit of tokens ended it.
func (t *thought) finish(full bool) (thinking []byte, answer []earlyToken) {
	dropped := t.split.state == undecided && full && t.split.marking(t.split.held)
	said, _ := t.split.End(full)
	t.text.write(said)
	t.text.flush()
	if dropped {
		t.tokens, t.early = len(t.early), nil
	}
	answer, t.early = t.early, nil
	return t.text.take(), answer
}
