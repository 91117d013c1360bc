package calibration

import (
	"context"
	"fmt"
	"slices"

	"prunellm/internal/chat"
	"prunellm/models"
	"prunellm/openapi"
)

// fileSource cuts a file's text into sequences.
type fileSource struct {
	dense Dense
	ref   Reference
}

// Sequences implements Source.
func (s fileSource) Sequences(ctx context.Context, want Want, progress func(done, total int)) ([][]int32, error) {
	model, err := s.dense.OpenModel(ctx, s.dense.Weights.Path(), want.Length+1, 1, false)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	return s.cut(ctx, model, want, progress)
}

// cut tokenizes the whole file with the model's vocabulary and cuts the tokens.
func (s fileSource) cut(ctx context.Context, model Tokenizer, want Want, progress func(done, total int)) ([][]int32, error) {
	text, err := readText(s.ref.File, s.ref.Identity)
	if err != nil {
		return nil, err
	}
	var template *chat.Template
	if want.Chats {
		template = chatTemplate(s.dense.Weights)
	}
	done := tokenizing(text, want.Tokens, progress)
	var tokens []int32
	for i := range text.documents {
		document, special, err := text.render(i, template)
		if err != nil {
			return nil, fmt.Errorf("%q: conversation %d: %w", s.ref.File, i+1, err)
		}
		part, err := Tokenize(ctx, model, document, special, done)
		if err != nil {
			return nil, fmt.Errorf("tokenize %q: %w", s.ref.File, err)
		}
		tokens = append(tokens, toInt32(part)...)
	}
	for _, sequence := range want.Exclude {
		tokens = cutOut(tokens, sequence)
	}
	if len(tokens) < want.AtLeast {
		return nil, fmt.Errorf("%w: %q has %d tokens, want at least %d: use a longer text, or %q",
			ErrTooShort, s.ref.File, len(tokens), want.AtLeast, SelfName)
	}
	return Cut(tokens, want.Length, want.Tokens), nil
}

// render returns a document as it is tokenized: a conversation in the template's form, in which control tokens are
// special, and every other text as it is. template may be nil.
func (t *text) render(document int, template *chat.Template) (content string, special bool, err error) {
	turns := t.chats[document]
	if turns == nil || template == nil {
		return t.documents[document], false, nil
	}
	messages := make([]openapi.Message, len(turns))
	for i, m := range turns {
		messages[i] = openapi.Message{Role: m.Role, Content: m.Content}
	}
	content, err = template.Prompt(messages, nil, false)
	return content, true, err
}

// tokenizing turns bytes of a text that were tokenized into progress towards the wanted tokens. progress may be nil.
func tokenizing(t *text, wanted int, progress func(done, total int)) func(bytes int) {
	total, done := 0, 0
	for _, document := range t.documents {
		total += len(document)
	}
	return func(bytes int) {
		done += bytes
		if progress != nil {
			progress(min(int(float64(wanted)*float64(done)/float64(total)), wanted), wanted)
		}
	}
}

// chatTemplate is the model's own; nil for a model without chat.
func chatTemplate(dense *models.GGUF) *chat.Template {
	tokenizer := dense.Tokenizer()
	template, err := chat.New(tokenizer.ChatTemplate, dense.TokenText(tokenizer.BOS), dense.TokenText(tokenizer.EOS))
	if err != nil {
		return nil
	}
	return template
}

// cutOut removes the first place where tokens hold part.
func cutOut(tokens, part []int32) []int32 {
	for i := range len(tokens) - len(part) + 1 {
		if tokens[i] == part[0] && slices.Equal(tokens[i:i+len(part)], part) {
			return slices.Delete(tokens, i, i+len(part))
		}
	}
	return tokens
}
