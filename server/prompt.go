package server

import (
	"errors"
	"math/rand/v2"
	"unicode/utf8"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// maxBytesPerToken bounds the text that the server tokenizes. No vocabulary's average token is that long.
const maxBytesPerToken = 256

// tokenize returns the tokens of a prompt in pieces. field names it in errors.
func tokenize(v Vocabulary, field string, pieces ...chat.Piece) ([]infer.Token, error) {
	sizeBytes := 0
	for _, piece := range pieces {
		sizeBytes += len(piece.Text)
	}
	if err := checkBytes(v, field, sizeBytes); err != nil {
		return nil, err
	}
	var tokens []infer.Token
	for i, piece := range pieces {
		part, err := v.Tokenize(piece.Text, i == 0, piece.Special)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, part...)
	}
	return dropSecondBOS(v, tokens), nil
}

// checkBytes refuses a prompt by its length, before any other work on it.
func checkBytes(v Vocabulary, field string, sizeBytes int) error {
	if sizeBytes/maxBytesPerToken <= v.ContextSize() {
		return nil
	}
	return openapi.Invalid(field, openapi.CodeContextLength,
		"prompt is too long: %d bytes. This model's maximum context length is %d tokens, including the answer; shorten the prompt or start the server with a larger --ctx", sizeBytes, v.ContextSize())
}

// predictionTokens returns the tokens of a predicted answer, as many as the context holds.
func predictionTokens(v Vocabulary, text string) ([]infer.Token, error) {
	if err := checkBytes(v, "prediction.content", len(text)); err != nil {
		return nil, err
	}
	tokens, err := v.Tokenize(text, false, false)
	if err != nil {
		return nil, promptField(err, "prediction.content")
	}
	return tokens[:min(len(tokens), v.ContextSize())], nil
}

// dropSecondBOS drops one of two beginning-of-sequence tokens if both the chat template and the tokenizer add it. The
// model never saw two in training.
func dropSecondBOS(v Vocabulary, tokens []infer.Token) []infer.Token {
	if len(tokens) > 1 && tokens[0] == tokens[1] && len(v.Piece(tokens[0], false)) == 0 {
		return tokens[1:]
	}
	return tokens
}

// givenTokens checks tokens that the client sent.
func givenTokens(v Vocabulary, field string, ids []int) ([]infer.Token, error) {
	tokens := make([]infer.Token, len(ids))
	for i, id := range ids {
		if id < 0 || id >= v.VocabSize() {
			return nil, openapi.Invalid(field, openapi.CodeInvalidValue, "%s[%d] is %d; a token must be below %d, the size of the vocabulary", field, i, id, v.VocabSize())
		}
		tokens[i] = infer.Token(id)
	}
	return tokens, nil
}

// text returns the text of tokens, including special ones. Bytes that are not UTF-8 become the replacement character.
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

// request returns the engine's request for one prompt, without log probabilities. With noAnswer, the engine only computes
// the prompt, which may then fill the whole context.
func request(v *Variant, field string, prompt []infer.Token, c *openapi.Common, noAnswer bool) (infer.Request, error) {
	room := v.ContextSize() - len(prompt)
	if left := c.Context - len(prompt); c.Context > 0 && left < room {
		if room = left; room <= 0 {
			return infer.Request{}, openapi.Invalid("options.num_ctx", openapi.CodeContextLength,
				"prompt is too long: %d tokens. num_ctx is %d, including the answer; send a larger one, or none", len(prompt), c.Context)
		}
	}
	switch {
	case len(prompt) == 0:
		return infer.Request{}, openapi.Invalid(field, openapi.CodeInvalidValue, "%s is empty", field)
	case room < 0, room == 0 && !noAnswer:
		return infer.Request{}, promptField(&infer.ContextError{Prompt: len(prompt), Context: v.ContextSize(), Whole: noAnswer}, field)
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

// constraintGrammar returns the GBNF of a request's constraint, or "" if it has none.
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
		RepetitionPenalty: c.RepetitionPenalty, RepetitionWindow: c.RepetitionWindow, PresencePenalty: c.PresencePenalty, FrequencyPenalty: c.FrequencyPenalty,
		Seed: rand.Uint64(),
	}
	if c.TopP == 0 { // the engine takes 0 as "keep all", a client as "keep the likeliest"
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
			return out, openapi.Invalid("logit_bias", openapi.CodeInvalidValue, "logit_bias has token %d; a token must be below %d, the size of the vocabulary", id, v.VocabSize())
		}
		out.LogitBias[infer.Token(id)] = bias
	}
	return out, nil
}

// refusedBy rewrites the engine's error about a grammar so that it names the request's field.
func refusedBy(err error, field, code string) error {
	var param *infer.ParameterError
	if errors.As(err, &param) {
		return openapi.Invalid(field, code, "%s: %s", field, param.Reason)
	}
	return err
}
