package calibration

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"prunellm/internal/calibration/corpus"
	"prunellm/internal/chat"
	"prunellm/models"
	"prunellm/openapi"
)

// textSource is a source that cuts a text into sequences.
type textSource struct {
	dense Dense
	name  string // for errors
	read  func() (*text, error)
}

// fileSource returns the source for the text of a file.
func fileSource(dense Dense, ref Reference) Source {
	return textSource{dense: dense, name: strconv.Quote(ref.File), read: func() (*text, error) { return readText(ref.File, ref.Identity) }}
}

// generalSource returns the source for the text that is part of the binary.
func generalSource(dense Dense) Source {
	return textSource{dense: dense, name: "the general text", read: func() (*text, error) { return &text{documents: corpus.Documents()}, nil }}
}

// Sequences implements Source.
func (s textSource) Sequences(ctx context.Context, want Want, progress func(done, total int)) ([][]int32, error) {
	model, err := s.dense.OpenModel(ctx, s.dense.Weights.Path(), want.Length+1, 1, false)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	return s.cut(ctx, model, want, progress)
}

// cut tokenizes the whole text with the model's vocabulary and cuts the tokens into sequences.
func (s textSource) cut(ctx context.Context, model Tokenizer, want Want, progress func(done, total int)) ([][]int32, error) {
	text, err := s.read()
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
			return nil, fmt.Errorf("%s: conversation %d: %w", s.name, i+1, err)
		}
		part, err := Tokenize(ctx, model, document, special, done)
		if err != nil {
			return nil, fmt.Errorf("tokenize %s: %w", s.name, err)
		}
		tokens = append(tokens, toInt32(part)...)
	}
	tokens = cutOut(tokens, want.Exclude)
	if len(tokens) < want.AtLeast {
		return nil, tooShort(s.name, len(tokens), want)
	}
	return Cut(tokens, want.Length, want.Tokens), nil
}

func tooShort(name string, tokens int, want Want) error {
	return fmt.Errorf("%w: %s has %d tokens but must have at least %d; use a longer text, or %q", ErrTooShort, name, tokens, want.AtLeast, GeneralName)
}

// render returns a document in the form in which it is tokenized. It renders a conversation with the template, which
// writes control tokens; special is then true. It returns any other document unchanged. template may be nil.
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

// tokenizing returns a function that converts tokenized bytes of a text to progress in tokens. progress may be nil.
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

// chatTemplate returns the model's chat template, or nil if it has none.
func chatTemplate(dense *models.GGUF) *chat.Template {
	tokenizer := dense.Tokenizer()
	template, err := chat.New(tokenizer.ChatTemplate, dense.TokenText(tokenizer.BOS), dense.TokenText(tokenizer.EOS))
	if err != nil {
		return nil
	}
	return template
}

// cutOut removes the first occurrence of each sequence from tokens. Sequences must have at least two tokens. It reads
// tokens only once.
func cutOut(tokens []int32, sequences [][]int32) []int32 {
	type start [2]int32
	beginning := map[start][]int{}
	for i, s := range sequences {
		if len(s) < 2 {
			continue
		}
		beginning[start(s[:2])] = append(beginning[start(s[:2])], i)
	}
	left := tokens[:0]
	for i := 0; i < len(tokens); {
		if rest := tokens[i:]; len(rest) > 1 {
			of := beginning[start(rest[:2])]
			found := slices.IndexFunc(of, func(n int) bool {
				return len(rest) >= len(sequences[n]) && slices.Equal(rest[:len(sequences[n])], sequences[n])
			})
			if found >= 0 {
				i += len(sequences[of[found]])
				beginning[start(rest[:2])] = slices.Delete(of, found, found+1)
				continue
			}
		}
		left, i = append(left, tokens[i]), i+1
	}
	return left
}
