package chat

import (
	"slices"
	"strings"
	"unicode/utf8"

	"prunellm/internal/chat/jinja"
)

// guard is inserted into the text of a control token in a message, so that it no longer spells the token. It is a
// Unicode noncharacter, which no valid text exchange contains.
const guard = '\uFDD0'

// Piece is a part of a prompt that is tokenized separately.
type Piece struct {
	Text    string
	Special bool // whether the text of a control token becomes that token, or is text like any other
}

// Guard sets the texts of the vocabulary's control tokens. From then on only the template can write control tokens. The
// same texts in messages and tools stay text, so no message can forge the beginning of another turn. Prompts then
// contain guards, which Pieces and Text remove.
func (t *Template) Guard(controls []string) {
	t.controls = newControls(controls, nil)
	t.answerControls = newControls(controls, markers())
}

// Text returns a prompt that Prompt made in the form that clients may see, without guards.
func (t *Template) Text(prompt string) string {
	if t.controls == nil {
		return prompt
	}
	return strings.ReplaceAll(prompt, string(guard), "")
}

// Pieces splits a prompt that Prompt made into the pieces to tokenize separately. There is one piece unless a message
// spells a control token. The text between two control tokens of the template stays in one piece, so that it gets the
// same tokens as from a tokenizer without control tokens.
func (t *Template) Pieces(prompt string) []Piece {
	if t.controls == nil || !strings.ContainsRune(prompt, guard) {
		return []Piece{{Text: prompt, Special: true}}
	}
	var pieces []Piece
	add := func(text string, special bool) {
		if text != "" {
			pieces = append(pieces, Piece{Text: text, Special: special})
		}
	}
	kept, run := 0, 0 // where the pieces so far end, and where the text after the last control token begins
	endRun := func(end int) {
		if text := prompt[run:end]; strings.ContainsRune(text, guard) {
			add(prompt[kept:run], true)
			add(t.Text(text), false)
			kept = end
		}
	}
	for i := 0; i < len(prompt); {
		n := t.controls.match(prompt[i:])
		if n == 0 {
			i++
			continue
		}
		endRun(i)
		i += n
		run = i
	}
	endRun(len(prompt))
	add(prompt[kept:], true)
	return pieces
}

// guarded returns a value whose texts spell no control tokens. It is part of a message with the given role, or of the
// tools if role is "".
func (t *Template) guarded(role string, value any) any {
	switch {
	case t.controls == nil:
		return value
	case role == "assistant":
		return jinja.Mapped{Value: value, Text: t.answerControls.mark}
	}
	return jinja.Mapped{Value: value, Text: t.controls.mark}
}

// controls is a trie over bytes that finds the texts of control tokens.
type controls struct {
	next map[byte]*controls
	ends bool // a text ends here
}

// newControls returns a trie of texts without those in but. It leaves out texts of one character, into which no guard
// can be inserted.
func newControls(texts, but []string) *controls {
	root := &controls{}
	for _, text := range texts {
		if utf8.RuneCountInString(text) > 1 && !slices.Contains(but, text) {
			root.add(text)
		}
	}
	return root
}

func (c *controls) add(text string) {
	for i := range len(text) {
		if c.next == nil {
			c.next = map[byte]*controls{}
		}
		if c.next[text[i]] == nil {
			c.next[text[i]] = &controls{}
		}
		c = c.next[text[i]]
	}
	c.ends = true
}

// match returns the length of the longest control token that text begins with, or 0.
func (c *controls) match(text string) int {
	longest := 0
	for i := range len(text) {
		if c = c.next[text[i]]; c == nil {
			break
		}
		if c.ends {
			longest = i + 1
		}
	}
	return longest
}

// mark inserts a guard after the first character of every control token in text, also of one within another. It
// replaces guards that the text already contains with the replacement character.
func (c *controls) mark(text string) string {
	text = strings.ReplaceAll(text, string(guard), string(utf8.RuneError))
	var out strings.Builder
	done := 0
	for i := range text {
		if c.match(text[i:]) > 0 {
			_, size := utf8.DecodeRuneInString(text[i:])
			out.WriteString(text[done : i+size])
			out.WriteRune(guard)
			done = i + size
		}
	}
	if done == 0 {
		return text
	}
	out.WriteString(text[done:])
	return out.String()
}
