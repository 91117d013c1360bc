package infer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxMarkerBytes bounds each text of a Thinking.
const maxMarkerBytes = 4096

// thought follows the tokens of one answer through the model's thinking. A nil thought is of a model that does not think.
//
// The engine splits and not its caller, since all that holds only the answer depends on it: grammars begin after the
// thinking, stop strings do not match in it, and a budget closes it.
type thought struct {
	split  *Splitter
	budget int
	begin  []Token          // the begin marker
	close  []Token          // end the thinking
	marks  map[Token][]byte // control tokens in the markers; their text counts
	forced []Token          // come next, whatever the model would choose
	spent  int              // tokens within the thinking
	tokens int              // the same, with the begin marker's
	early  []earlyToken     // tokens from before it was clear whether the model thinks
	text   textBuffer       // of the thinking, whole characters
}

// earlyToken is a token that belongs to the answer unless a begin marker turns out to be there.
type earlyToken struct {
	piece []byte
	info  *TokenInfo
}

// newThoughts prepares a request's answers.
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
		return nil, &ParameterError{Field: "thinking", Reason: "what ends it has no tokens"}
	}
	return func() *thought {
		out := &thought{split: NewSplitter(t), budget: t.Budget, begin: begin, close: closing, marks: marks}
		out.spend()
		return out
	}, nil
}

// validate reports markers that cannot be found in a text.
func (t Thinking) validate() error {
	for _, text := range []struct{ name, value string }{{"begin", t.Begin}, {"end", t.End}, {"close", t.Close}} {
		switch {
		case len(text.value) > maxMarkerBytes:
			return &ParameterError{Field: "thinking", Reason: fmt.Sprintf("%s has %d bytes, must be at most %d", text.name, len(text.value), maxMarkerBytes)}
		case !utf8.ValidString(text.value) || strings.IndexByte(text.value, 0) >= 0:
			return &ParameterError{Field: "thinking", Reason: text.name + " is not valid UTF-8 or holds a NUL character"}
		}
	}
	if t.End != "" && t.Begin == "" && !t.Open {
		return &ParameterError{Field: "thinking", Reason: "no text begins it"}
	}
	return nil
}

// piece returns the text of a token as the splitter reads it: that of control tokens counts where markers have them.
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

// cut ends the thinking in place of a token that would end the answer, or that runs from the end marker into an answer
// which is not allowed. It returns the token to come instead.
func (t *thought) cut() Token {
	held := t.split.held
	t.split.held = held[:len(held)-borderOf(t.split.end, held)] // the whole marker comes instead of this part
	t.forced = t.close
	return t.forced[0]
}

// add takes the next token with its text and its description. It returns what is thinking for sure, which is valid until
// the next call, and the tokens that are the answer's.
func (t *thought) add(token Token, piece []byte, info *TokenInfo) (thinking []byte, answer []earlyToken) {
	within := t.inside()
	early := t.split.state == undecided
	said, rest := t.split.Add(t.piece(token, piece))
	t.text.write(said)
	if within {
		t.spent++
	}
	if len(t.forced) > 0 {
		if t.forced = t.forced[1:]; len(t.forced) == 0 && t.inside() { // the tokenizer cuts the marker in another way
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
			if len(rest) > 0 { // one token with all of the thinking
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

// spend ends the thinking when it has used up its budget, after a whole character.
func (t *thought) spend() {
	if t.inside() && len(t.forced) == 0 && t.budget >= 0 && t.spent >= t.budget && len(t.text.raw) == 0 {
		t.forced = t.close
	}
}

// finish returns what add held back, once the answer has ended; full: by the limit of tokens.
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
