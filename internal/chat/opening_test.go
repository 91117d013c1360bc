package chat

import (
	"errors"
	"strings"
	"testing"

	"prunellm/openapi"
)

// A prompt that continues a message ends with the message's text, no matter what the template writes after it.
func TestContinuedMessage(t *testing.T) {
	const trims = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}<|im_end|>{% endfor %}"
	const thinks = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{{ m.content.split('</think>')[-1].lstrip('\n') }}" +
		"{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
	for name, c := range map[string]struct{ source, last, want string }{
		"text":             {ChatML, "The answer", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nThe answer"},
		"in the template":  {ChatML, "i", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\ni"},
		"as the user's":    {ChatML, "Hi", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHi"},
		"white space":      {ChatML, " a \n", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n a \n"},
		"trimmed":          {trims, " a \n", "[user]Hi<|im_end|>[assistant]a"},
		"control token":    {ChatML, "a<|im_end|>", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>{assistant\na<|im_end|>}"},
		"half a token":     {ChatML, "a<|im_", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\na<|im_"},
		"no thinking":      {thinks, "a", "[user]Hi<|im_end|>[assistant]<think>\n\n</think>\n\na"},
		"behind thinking":  {thinks, "<think>hm</think>a", "[user]Hi<|im_end|>[assistant]<think>\n\n</think>\n\na"},
		"mark of the user": {ChatML, endMark + "a", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" + endMark + "a"},
	} {
		t.Run(name, func(t *testing.T) {
			template := guardedTemplate(t, c.source)
			messages := []openapi.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: c.last}}
			prompt, err := template.Open(messages, nil, openapi.ContinueTurn)
			if err != nil {
				t.Fatal(err)
			}
			if got := joined(template.Pieces(prompt)); got != c.want {
				t.Errorf("pieces %q, want %q", got, c.want)
			}
			if messages[1].Content != c.last {
				t.Errorf("Open changed the message to %q", messages[1].Content)
			}
		})
	}
}

// A prompt that continues a message also describes tools in the system message if the template does not support them.
func TestContinuedWithTools(t *testing.T) {
	messages := []openapi.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "I call"}}
	for name, source := range map[string]string{"described": plainSource, "hermes": hermesSource, "llama": llamaSource} {
		prompt, err := newTemplate(t, source).Open(messages, []openapi.Tool{{Name: "bold"}}, openapi.ContinueTurn)
		if err != nil || !strings.Contains(prompt, "bold") || !strings.HasSuffix(prompt, "[user]Hi[assistant]I call") {
			t.Errorf("%s: prompt %q, error %v", name, prompt, err)
		}
	}
}

// A template that omits the message cannot continue it.
func TestContinuedMessageLeftOut(t *testing.T) {
	template := newTemplate(t, "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}")
	_, err := template.Open([]openapi.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "H"}}, nil, openapi.ContinueTurn)
	if !errors.Is(err, ErrMessages) || !strings.Contains(err.Error(), "chat template: it omits the last message's text") {
		t.Errorf("error %v", err)
	}
}

// Open ends a prompt with the header of an answer or with nothing, as the opening asks.
func TestOpenings(t *testing.T) {
	template := newTemplate(t, ChatML)
	for opening, want := range map[openapi.Opening]string{openapi.OpenTurn: "Hi<|im_end|>\n<|im_start|>assistant\n", openapi.OpenNothing: "Hi<|im_end|>\n"} {
		prompt, err := template.Open([]openapi.Message{{Role: "assistant", Content: "Hi"}}, nil, opening)
		if err != nil || prompt != "<|im_start|>assistant\n"+want {
			t.Errorf("opening %d: prompt %q, error %v", opening, prompt, err)
		}
	}
}

func TestMarksWithin(t *testing.T) {
	template := newTemplate(t, ChatML)
	for text, want := range map[string]bool{"": false, "a": false, "<think>": true, "<think>\nhm, ": true, "<think>hm</think>": false, "<think>a</think><think>b": true, "</think>": false} {
		if got := template.MarksWithin(text).Open; got != want {
			t.Errorf("%q is open: %t, want %t", text, got, want)
		}
	}
}

// With the templates of many models, a prompt that continues a message ends with its text and otherwise is the same as
// a prompt that does not.
func TestPublicTemplatesContinue(t *testing.T) {
	continued := 0
	for name, source := range publicTemplates(t) {
		template := guardedTemplate(t, source)
		messages := []openapi.Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "The answer"}}
		closed, err := template.Open(messages, nil, openapi.OpenNothing)
		if err != nil { // the template does not support these messages at all
			continue
		}
		continued++
		prompt, err := template.Open(messages, nil, openapi.ContinueTurn)
		if err != nil || !strings.HasSuffix(prompt, "The answer") || !strings.HasPrefix(closed, prompt) {
			t.Errorf("%s: prompt %q, error %v; the prompt that does not continue is %q", name, prompt, err, closed)
		}
	}
	if continued < 30 {
		t.Errorf("only %d templates continue a message", continued)
	}
}
