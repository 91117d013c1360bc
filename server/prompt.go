package server

import (
	"errors"
	"math/rand/v2"
	"unicode/utf8"

	"prunellm/infer"
	"prunellm/openapi"
)

// maxBytesPerToken bounds the text that is worth tokenizing: no vocabulary packs text so tightly on the whole.
const maxBytesPerToken = 256

// tokenize turns a prompt's text into tokens; field names it in errors.
func tokenize(v Vocabulary, field, text string) ([]infer.Token, error) {
	if err := checkBytes(v, field, len(text)); err != nil {
		return nil, err
	}
	tokens, err := v.Tokenize(text, true, true)
	if err != nil {
		return nil, err
	}
	return dropSecondBOS(v, tokens), nil
}

// checkBytes refuses a prompt by its length alone, before anything is done with it.
func checkBytes(v Vocabulary, field string, sizeBytes int) error {
	if sizeBytes/maxBytesPerToken <= v.ContextSize() {
		return nil
	}
	return openapi.Invalid(field, openapi.CodeContextLength,
		"prompt is too long: %d bytes. This model's maximum context length is %d tokens, the answer included (serve --ctx)", sizeBytes, v.ContextSize())
}

// dropSecondBOS undoes what happens when a chat template writes the beginning-of-sequence token that the tokenizer adds
// as well: the model never saw two in training.
func dropSecondBOS(v Vocabulary, tokens []infer.Token) []infer.Token {
	if len(tokens) > 1 && tokens[0] == tokens[1] && len(v.Piece(tokens[0], false)) == 0 {
		return tokens[1:]
	}
	return tokens
}

// givenTokens checks tokens that came from the client.
func givenTokens(v Vocabulary, field string, ids []int) ([]infer.Token, error) {
	tokens := make([]infer.Token, len(ids))
	for i, id := range ids {
		if id < 0 || id >= v.VocabSize() {
			return nil, openapi.Invalid(field, openapi.CodeInvalidValue, "%s[%d] is %d, the vocabulary has %d tokens", field, i, id, v.VocabSize())
		}
		tokens[i] = infer.Token(id)
	}
	return tokens, nil
}

// text is the text of tokens, special ones written out; bytes that are no UTF-8 become the replacement character.
func text(v Vocabulary, tokens []infer.Token) string {
	var out []byte
	for _, token := range tokens {
		out = append(out, v.Piece(token, true)...)
	}
	if utf8.Valid(out) {
		return string(out)
	}
	return string([]rune(string(out)))
}

// request makes the engine's request for one prompt, without log probabilities.
func request(v *Variant, field string, prompt []infer.Token, c *openapi.Common) (infer.Request, error) {
	room := v.ContextSize() - len(prompt)
	switch {
	case len(prompt) == 0:
		return infer.Request{}, openapi.Invalid(field, openapi.CodeInvalidValue, "%s is empty", field)
	case room < 1:
		return infer.Request{}, promptField(&infer.ContextError{Prompt: len(prompt), Context: v.ContextSize()}, field)
	}
	sampling, err := sampling(v, c)
	if err != nil {
		return infer.Request{}, err
	}
	grammar, err := constraintGrammar(v, c.Constraint)
	if err != nil {
		return infer.Request{}, err
	}
	maxTokens := room
	if c.MaxTokens > 0 {
		maxTokens = min(room, c.MaxTokens)
	}
	return infer.Request{
		Prompt: prompt, MaxTokens: maxTokens, Sampling: sampling,
		Stop: c.Stop, IgnoreEOS: c.IgnoreEOS, Logprobs: -1, Grammar: grammar,
	}, nil
}

// constraintGrammar returns the GBNF of a request's constraint; "" if it has none.
func constraintGrammar(g Grammars, c openapi.Constraint) (string, error) {
	switch {
	case c.Schema != nil:
		grammar, err := g.SchemaGrammar(c.Schema, true)
		return grammar, refusedBy(err, c.Field, openapi.CodeInvalidSchema)
	case c.Pattern != "":
		grammar, err := g.PatternGrammar(c.Pattern)
		return grammar, refusedBy(err, c.Field, openapi.CodeInvalidValue)
	case c.Grammar != "":
		return c.Grammar, refusedBy(g.CheckGrammar(c.Grammar), c.Field, openapi.CodeInvalidValue)
	}
	return "", nil
}

func sampling(v Vocabulary, c *openapi.Common) (infer.Sampling, error) {
	out := infer.Sampling{
		Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP, TypicalP: c.TypicalP,
		RepetitionPenalty: c.RepetitionPenalty, PresencePenalty: c.PresencePenalty, FrequencyPenalty: c.FrequencyPenalty,
		Seed: rand.Uint64(),
	}
	if c.TopP == 0 { // for the engine 0 keeps all, for a client it keeps the likeliest
		out.TopK = 1
	}
	if c.Seed != nil {
		out.Seed = uint64(*c.Seed)
	}
	if len(c.LogitBias) > 0 {
		out.LogitBias = make(map[infer.Token]float64, len(c.LogitBias))
	}
	for id, bias := range c.LogitBias {
		if id >= v.VocabSize() {
			return out, openapi.Invalid("logit_bias", openapi.CodeInvalidValue, "logit_bias has token %d, the vocabulary has %d tokens", id, v.VocabSize())
		}
		out.LogitBias[infer.Token(id)] = bias
	}
	return out, nil
}

// refusedBy turns the engine's refusal of a grammar into one that names the request's field.
func refusedBy(err error, field, code string) error {
	var param *infer.ParameterError
	if errors.As(err, &param) {
		return openapi.Invalid(field, code, "%s: %s", field, param.Reason)
	}
	return err
}
