package chat

import (
	"slices"
	"strings"
	"unicode/utf8"

	"prunellm/internal/chat/jinja"
)

// guard breaks the text of a control token in a message. It is a noncharacter: no text for interchange holds it.
const guard = '\uFDD0'

// Piece is a part of a prompt that is tokenized by itself.
type Piece struct {
	Text    string
	Special bool // texts of control tokens are those tokens; false: they are text like any other
}

// Guard names the texts of the vocabulary's control tokens. From then on their texts in messages and tools are no control
// tokens, and only those that the template writes are: no message can pretend that another turn begins. Prompts then
// hold guards, which Pieces and Text take out.
func (t *Template) Guard(controls []string) {
	t.controls = newControls(controls, nil)
	t.answerControls = newControls(controls, markers())
}

// Text returns a prompt of Prompt as clients may see it.
func (t *Template) Text(prompt string) string {
	if t.controls == nil {
		return prompt
	}
	return strings.ReplaceAll(prompt, string(guard), "")
}

// Pieces splits a prompt of Prompt into what is to be tokenized piece by piece. That is one piece unless a message
// spells a control token. The text between two control tokens of the template stays in one piece, so that it gets the
// tokens that a tokenizer without control tokens gives it.
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
	kept, run := 0, 0 // where the pieces end, and where the text behind the last control token begins
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

// guarded is a value of a message with that role, or of tools for "", whose texts spell no control token.
func (t *Template) guarded(role string, value any) any {
	switch {
	case t.controls == nil:
		return value
	case role == "assistant":
		return jinja.Mapped{Value: value, Text: t.answerControls.mark}
	}
	return jinja.Mapped{Value: value, Text: t.controls.mark}
}

// controls finds texts: a tree of their bytes.
type controls struct {
	next map[byte]*controls
	ends bool // a text ends here
}

// newControls returns a finder of all texts but some. One of a single character cannot be broken and is left out.
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

// match returns the length of the longest of the texts that a text begins with; 0 for none.
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

// mark puts a guard behind the first character of every text that is found, also of one within another. A guard that the
// text already has becomes the replacement character.
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
