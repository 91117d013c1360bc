package infer

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"prunellm/infer/gbnf"
)

// CheckGrammar returns nil if gbnf is a valid grammar, or a ParameterError with the position and the reason.
func (e *Engine) CheckGrammar(text string) error {
	_, err := parseGrammar(text)
	return err
}

// SchemaGrammar converts a JSON schema to a grammar in GBNF. If no grammar can express all of a strict schema, it returns a
// ParameterError; see gbnf.FromSchema for the limits. In other schemas it ignores keywords that no grammar can express.
func (e *Engine) SchemaGrammar(schema []byte, strict bool) (string, error) {
	compile := gbnf.FromSchemaRelaxed
	if strict {
		compile = gbnf.FromSchema
	}
	text, err := compile(schema)
	if err != nil {
		return "", &ParameterError{Field: "schema", Reason: err.Error()}
	}
	return text, nil
}

// PatternGrammar converts a regular expression, which matches the whole text, to a grammar in GBNF. If no grammar can
// express it, it returns a ParameterError; see gbnf.FromPattern.
func (e *Engine) PatternGrammar(pattern string) (string, error) {
	text, err := gbnf.FromPattern(pattern)
	if err != nil {
		return "", &ParameterError{Field: "pattern", Reason: err.Error()}
	}
	return text, nil
}

func parseGrammar(text string) (*gbnf.Grammar, error) {
	g, err := gbnf.Parse(text)
	if err != nil {
		return nil, &ParameterError{Field: "grammar", Reason: err.Error()}
	}
	return g, nil
}

// constraint constrains one answer by its grammar. It does not constrain the model's thinking before the answer.
type constraint struct {
	grammar    *gbnf.Grammar
	matcher    *gbnf.Matcher
	vocabulary *gbnf.Vocabulary
	dec        Decoder
	ends       []Token // tokens that end an answer

	thought *thought // nil: the answer begins at once
	strayed bool     // the text so far may be a begin marker, and the grammar forbids it
	spaces  int      // bytes of white space between the thinking and the answer
}

// maxSpaces bounds the bytes of white space between the thinking and an answer with a grammar.
const maxSpaces = 8

// constrain returns the constraint for an answer that must match a parsed grammar.
func (e *Engine) constrain(g *gbnf.Grammar, t *thought) *constraint {
	index := e.grammarIndex()
	return &constraint{grammar: g, matcher: g.Matcher(), vocabulary: index.vocabulary, dec: e.dec, ends: index.ends, thought: t}
}

// grammarIndex is an index of the vocabulary that all grammars use. The first request with a grammar creates it.
type grammarIndex struct {
	vocabulary *gbnf.Vocabulary
	ends       []Token
}

func newGrammarIndex(dec Decoder) grammarIndex {
	var index grammarIndex
	for t := range Token(dec.VocabSize()) {
		if dec.EndOfGeneration(t) {
			index.ends = append(index.ends, t)
		}
	}
	index.vocabulary = gbnf.NewVocabulary(dec.VocabSize(), func(t int) []byte {
		if dec.EndOfGeneration(Token(t)) {
			return nil // ends the answer and adds no text
		}
		return dec.Piece(Token(t), false)
	})
	return index
}

// allows reports whether the answer may continue with a token, or end with it.
func (c *constraint) allows(t Token) (bool, error) {
	piece := c.dec.Piece(t, false)
	if c.dec.EndOfGeneration(t) {
		return !c.thought.inside() && !c.strayed && c.matcher.Complete(), nil
	}
	if c.thought == nil || c.thought.split.state == answering {
		ok, err := c.matcher.Accepts(piece)
		return ok, grammarError(err)
	}
	was := c.thought.split.state
	marked := c.thought.piece(t, piece)
	if len(marked) == 0 {
		return was == thinking, nil
	}
	next, answer := c.thought.split.after(marked)
	switch {
	case next.state == thinking || was == thinking && next.state == between:
		return true, nil
	case next.state == between:
		return c.spaces+len(marked) <= maxSpaces, nil
	case next.state == undecided && next.marking(next.held):
		return true, nil
	case was == undecided && next.begun: // one token contains all of the thinking
		ok, err := c.grammar.Matcher().Accepts(answer)
		return ok, grammarError(err)
	case was == undecided:
		if c.strayed {
			return false, nil
		}
		answer = piece
	}
	ok, err := c.matcher.Accepts(answer)
	return ok, grammarError(err)
}

// restrict keeps only the logits of allowed tokens. It reports whether there are any.
func (c *constraint) restrict(logits []float32, sc *scratch) (bool, error) {
	sc.allowed = sc.allowed[:0]
	allow := func(t int) {
		if x := logits[t]; x > float32(math.Inf(-1)) {
			sc.allowed = append(sc.allowed, weighted{Token(t), x})
		}
	}
	if c.thought != nil && c.thought.split.state == undecided {
		c.allowMarker(allow)
	}
	if c.strayed {
		return c.keepAllowed(logits, sc), nil
	}
	if err := c.matcher.Allowed(c.vocabulary, allow); err != nil {
		return false, grammarError(err)
	}
	if c.matcher.Complete() {
		for _, t := range c.ends {
			allow(int(t))
		}
	}
	return c.keepAllowed(logits, sc), nil
}

// allowMarker allows the begin marker's next token, in the tokenizer's own split of the marker.
func (c *constraint) allowMarker(allow func(t int)) {
	held := bytes.TrimLeft(c.thought.split.held, whiteSpace)
	for _, t := range c.thought.begin {
		if len(held) == 0 {
			allow(int(t))
			return
		}
		var fits bool
		if held, fits = bytes.CutPrefix(held, c.thought.piece(t, c.dec.Piece(t, false))); !fits {
			return
		}
	}
}

// keepAllowed keeps only the logits in sc.allowed. It reports whether there are any.
func (c *constraint) keepAllowed(logits []float32, sc *scratch) bool {
	for i := range logits {
		logits[i] = float32(math.Inf(-1))
	}
	for _, w := range sc.allowed {
		logits[w.token] = w.value
	}
	return len(sc.allowed) > 0
}

// follow adds the chosen token to the text. It reports whether the text is complete and nothing can follow.
func (c *constraint) follow(t Token) (ended bool, err error) {
	if c.dec.EndOfGeneration(t) {
		return true, nil
	}
	answer := c.dec.Piece(t, false)
	if c.thought != nil && c.thought.split.state != answering {
		if answer, err = c.think(t, answer); err != nil || len(answer) == 0 {
			return false, err
		}
	}
	if err := c.matcher.Advance(answer); err != nil {
		return false, grammarError(err)
	}
	return c.matcher.Ended(), nil
}

// think processes a token while the answer may not have begun. It returns the part of the token that the grammar must match.
func (c *constraint) think(t Token, piece []byte) ([]byte, error) {
	was := c.thought.split.state
	marked := c.thought.piece(t, piece)
	next, answer := c.thought.split.after(marked)
	switch {
	case was == undecided && next.begun:
		c.matcher, c.strayed = c.grammar.Matcher(), false // the text so far was the begin marker, not the answer
	case was == undecided:
		answer = piece
		if next.state == undecided && !c.strayed {
			ok, err := c.matcher.Accepts(piece)
			if c.strayed = !ok; err != nil {
				return nil, grammarError(err)
			}
		}
		if c.strayed {
			return nil, nil
		}
	case was == between && next.state == between:
		c.spaces += len(marked)
	}
	return answer, nil
}

// grammarError returns a ParameterError if the grammar exceeded its budget, and wraps any other error.
func grammarError(err error) error {
	if errors.Is(err, gbnf.ErrBudget) {
		return &ParameterError{Field: "grammar", Reason: err.Error()}
	}
	if err != nil {
		return fmt.Errorf("grammar: %w", err)
	}
	return nil
}

// errNoToken reports that the grammar, or the logit bias, leaves no token to choose.
var errNoToken error = &ParameterError{Field: "grammar", Reason: "no token of the vocabulary can continue the answer"}
