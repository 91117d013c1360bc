package openapi

import "strings"

// Opening is how the prompt of a turn ends.
type Opening int

const (
	OpenTurn     Opening = iota // with the header of a new turn of the model
	ContinueTurn                // within the last message, which the answer continues
	OpenNothing                 // with the end of the last message
)

const whiteSpace = " \t\n\r"

// readOpening reads vLLM's fields. Without them the answer continues a last message that is the assistant's, as in
// llama-server, and begins a turn behind one that calls tools or has thinking alone.
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
		f.refuse("continue_final_message", CodeInvalidValue, "continue_final_message is true and the last message is the %s's: only the assistant's can be continued", last.Role)
	case keep || continues && !addGiven && !keepGiven:
		t.continueLast(f)
	case !add:
		t.Opening = OpenNothing
	}
}

// continueLast lets the answer continue the last message, which is the assistant's. One without words is left out: the answer
// begins a turn.
func (t *Turn) continueLast(f *fields) {
	at := len(t.Messages) - 1
	last := t.Messages[at]
	switch empty := blank(last.Content); {
	case len(last.ToolCalls) > 0:
		f.refuse("messages", CodeUnsupported, "messages ends with the assistant's calls of tools, which an answer cannot continue: add their results")
	case empty && last.Reasoning != "":
		f.refuse("messages", CodeUnsupported, "messages ends with what the assistant thought: an answer continues text alone")
	case empty && at > 0:
		t.Messages = t.Messages[:at]
	case empty:
	case t.Format.Type != FormatText:
		f.refuse(t.Format.Field, CodeUnsupported, "%s holds whole answers: it cannot be combined with a last message of the assistant's, which the answer continues", t.Format.Field)
	default:
		t.Opening = ContinueTurn
	}
}

// blank reports whether a text is white space alone.
func blank(text string) bool { return strings.Trim(text, whiteSpace) == "" }
