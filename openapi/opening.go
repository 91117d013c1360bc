package openapi

import "strings"

// Opening is how a turn's prompt ends.
type Opening int

const (
	OpenTurn     Opening = iota // with the header of a new assistant message
	ContinueTurn                // inside the last message, which the answer continues
	OpenNothing                 // after the last message
)

const whiteSpace = " \t\n\r"

// readOpening reads vLLM's fields. Without them the answer continues a last message of the assistant, as in llama-server.
// If that message calls tools or has only thinking, the answer begins a new turn.
func (t *Turn) readOpening(f *fields) {
	add, keep := true, false
	f.boolean("add_generation_prompt", &add)
	f.boolean("continue_final_message", &keep)
	_, addGiven := f.get("add_generation_prompt")
	_, keepGiven := f.get("continue_final_message")
	if f.err != nil || len(t.Messages) == 0 {
		return
	}
	last := t.Messages[len(t.Messages)-1]
	continues := last.Role == "assistant" && len(last.ToolCalls) == 0 && (last.Reasoning == "" || !blank(last.Content))
	switch {
	case keep && add && addGiven:
		f.refuse("continue_final_message", CodeInvalidValue, "continue_final_message and add_generation_prompt are both true: send only one of them")
	case keep && last.Role != "assistant":
		f.refuse("continue_final_message", CodeInvalidValue, "continue_final_message is true but the role of the last message is %s: an answer can continue only a message of the assistant", last.Role)
	case keep || continues && !addGiven && !keepGiven:
		t.continueLast(f)
	case !add:
		t.Opening = OpenNothing
	}
}

// continueLast makes the answer continue the last message, which is the assistant's. It drops a blank message, and the answer
// then begins a new turn.
func (t *Turn) continueLast(f *fields) {
	at := len(t.Messages) - 1
	last := t.Messages[at]
	switch empty := blank(last.Content); {
	case len(last.ToolCalls) > 0:
		f.refuse("messages", CodeUnsupported, "messages ends with tool calls of the assistant, which an answer cannot continue: add their results")
	case empty && last.Reasoning != "":
		f.refuse("messages", CodeUnsupported, "messages ends with thinking of the assistant: an answer can continue only text")
	case empty && at > 0:
		t.Messages = t.Messages[:at]
	case empty:
	case t.Format.Type != FormatText:
		f.refuse(t.Format.Field, CodeUnsupported, "%s constrains whole answers: it cannot be combined with a last message of the assistant, which the answer would continue", t.Format.Field)
	default:
		t.Opening = ContinueTurn
	}
}

// blank reports whether a text is only white space.
func blank(text string) bool { return strings.Trim(text, whiteSpace) == "" }
