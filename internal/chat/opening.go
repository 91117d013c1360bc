package chat

import (
	"fmt"
	"slices"
	"strings"

	"prunellm/openapi"
)

// endMark marks where the last message's text ends in a prompt. It is a Unicode noncharacter, which no valid text
// exchange contains.
const endMark = "\uFDD1"

// Open returns a prompt like Prompt, with the ending that opening asks for.
func (t *Template) Open(messages []openapi.Message, tools []openapi.Tool, opening openapi.Opening) (string, error) {
	if opening == openapi.ContinueTurn {
		return t.continued(messages, tools)
	}
	return t.Prompt(messages, tools, opening == openapi.OpenTurn)
}

// continued returns the prompt up to the end of the last message's text, like continue_final_message of transformers.
// Searching for the text itself could find it in the template's own text, such as "i" in "<|im_end|>". So continued
// appends a mark and a space to the message. If the template drops the space, it trims texts, and the prompt must not
// have white space at its end either.
func (t *Template) continued(messages []openapi.Message, tools []openapi.Tool) (string, error) {
	messages = slices.Clone(messages)
	messages[len(messages)-1].Content += endMark + " "
	prompt, err := t.Prompt(messages, tools, false)
	if err != nil {
		return "", err
	}
	at := strings.LastIndex(prompt, endMark)
	if at < 0 {
		return "", fmt.Errorf("%w: it omits the last message's text, so no answer can continue that message", ErrMessages)
	}
	if strings.HasPrefix(prompt[at:], endMark+" ") {
		return prompt[:at], nil
	}
	return strings.TrimRight(prompt[:at], jsonSpace), nil
}
