package chat

import (
	"fmt"
	"slices"
	"strings"

	"prunellm/openapi"
)

// endMark marks where the last message's text ends in a prompt. It is a noncharacter: no text for interchange holds it.
const endMark = "\uFDD1"

// Open is Prompt with the end that a turn wants.
func (t *Template) Open(messages []openapi.Message, tools []openapi.Tool, opening openapi.Opening) (string, error) {
	if opening == openapi.ContinueTurn {
		return t.continued(messages, tools)
	}
	return t.Prompt(messages, tools, opening == openapi.OpenTurn)
}

// continued returns the prompt up to the end of the last message's text, as continue_final_message of transformers does.
// Searching for the text itself could find it in the template's own, such as "i" in "<|im_end|>". So the text ends with a mark
// and a blank, and a template that drops the blank drops white space at the end of texts.
func (t *Template) continued(messages []openapi.Message, tools []openapi.Tool) (string, error) {
	messages = slices.Clone(messages)
	messages[len(messages)-1].Content += endMark + " "
	prompt, err := t.Prompt(messages, tools, false)
	if err != nil {
		return "", err
	}
	at := strings.LastIndex(prompt, endMark)
	if at < 0 {
		return "", fmt.Errorf("%w: it does not write the last message's text, so no answer can continue it", ErrMessages)
	}
	if strings.HasPrefix(prompt[at:], endMark+" ") {
		return prompt[:at], nil
	}
	return strings.TrimRight(prompt[:at], jsonSpace), nil
}
