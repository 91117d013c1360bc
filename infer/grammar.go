package infer

import (
	"errors"
	"fmt"
	"math"

	"prunellm/infer/gbnf"
)

// CheckGrammar returns nil if an answer can follow a grammar in GBNF, or a ParameterError that says what is wrong
// where.
func (e *Engine) CheckGrammar(text string) error {
	_, err := parseGrammar(text)
	return err
}

// SchemaGrammar converts a JSON schema to a grammar in GBNF. A strict schema that no grammar can express as a whole gives a
// ParameterError; see gbnf.FromSchema for the limits. Of any other schema it leaves out what no grammar can express.
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

// PatternGrammar converts a regular expression, which matches the whole text, to a grammar in GBNF. One that no grammar can
// express gives a ParameterError; see gbnf.FromPattern.
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

// constraint holds one answer to its grammar.
type constraint struct {
	matcher    *gbnf.Matcher
	vocabulary *gbnf.Vocabulary
	dec        Decoder
	ends       []Token // tokens that end an answer
}

// constrain begins an answer that must follow a parsed grammar.
func (e *Engine) constrain(g *gbnf.Grammar) *constraint {
	index := e.grammarIndex()
	return &constraint{matcher: g.Matcher(), vocabulary: index.vocabulary, dec: e.dec, ends: index.ends}
}

// grammarIndex holds what all grammars need of a vocabulary. The first request with a grammar makes it.
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
			return nil // it ends the text and adds nothing
		}
		return dec.Piece(Token(t), false)
	})
	return index
}

// allows reports whether the answer may continue with a token, or end with it.
func (c *constraint) allows(t Token) (bool, error) {
	if c.dec.EndOfGeneration(t) {
		return c.matcher.Complete(), nil
	}
	ok, err := c.matcher.Accepts(c.dec.Piece(t, false))
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
	if err := c.matcher.Allowed(c.vocabulary, allow); err != nil {
		return false, grammarError(err)
	}
	if c.matcher.Complete() {
		for _, t := range c.ends {
			allow(int(t))
		}
	}
	for i := range logits {
		logits[i] = float32(math.Inf(-1))
	}
	for _, w := range sc.allowed {
		logits[w.token] = w.value
	}
	return len(sc.allowed) > 0, nil
}

// follow adds the chosen token to the text. It reports whether the text is complete and nothing can follow.
func (c *constraint) follow(t Token) (ended bool, err error) {
	if c.dec.EndOfGeneration(t) {
		return true, nil
	}
	if err := c.matcher.Advance(c.dec.Piece(t, false)); err != nil {
		return false, grammarError(err)
	}
	return c.matcher.Ended(), nil
}

// grammarError returns the client's error for a failure that its grammar caused.
func grammarError(err error) error {
	if errors.Is(err, gbnf.ErrBudget) {
		return &ParameterError{Field: "grammar", Reason: err.Error()}
	}
	if err != nil {
		return fmt.Errorf("grammar: %w", err)
	}
	return nil
}

// errNoToken reports a grammar that the vocabulary, or the logit bias, gives no token for.
var errNoToken error = &ParameterError{Field: "grammar", Reason: "no token of the vocabulary fits where the answer has come to"}
