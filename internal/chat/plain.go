package chat

import (
	"strings"

	"prunellm/openapi"
)

// inSystem returns the messages with text added to the system message. If there is none, it inserts one at the front.
func inSystem(messages []openapi.Message, text string) []openapi.Message {
	if len(messages) > 0 && messages[0].Role == "system" {
		first := messages[0]
		first.Content = strings.TrimPrefix(first.Content+"\n\n"+text, "\n\n")
		return append([]openapi.Message{first}, messages[1:]...)
	}
	return append([]openapi.Message{{Role: "system", Content: text}}, messages...)
}

// describeTools returns a description of tools for the model, in the form that most models with tools are trained on.
func describeTools(tools []openapi.Tool) string {
	var out strings.Builder
	out.WriteString("# Tools\n\nYou can call these functions when they help to answer. Each line describes one:\n<tools>\n")
	for _, tool := range tools {
		out.Write(definition(tool))
		out.WriteByte('\n')
	}
	out.WriteString("</tools>\n\nTo call a function, write its name and arguments as a JSON object between tags, like this:\n" +
		"<tool_call>\n{\"name\": \"function-name\", \"arguments\": {\"argument\": \"value\"}}\n</tool_call>\n" +
		"Its result is then given to you between <tool_response> tags.")
	return out.String()
}

// plainMessages converts tool calls and results to text. It merges successive results into one message, because many
// templates require alternating roles.
func plainMessages(messages []openapi.Message) []openapi.Message {
	var out []openapi.Message
	for i, m := range messages {
		switch {
		case len(m.ToolCalls) > 0:
			parts := make([]string, 0, len(m.ToolCalls)+1)
			if m.Content != "" {
				parts = append(parts, m.Content)
			}
			for _, call := range m.ToolCalls {
				parts = append(parts, "<tool_call>\n{\"name\": "+string(encode(call.Function.Name))+", \"arguments\": "+arguments(call)+"}\n</tool_call>")
			}
			out = append(out, openapi.Message{Role: m.Role, Name: m.Name, Reasoning: m.Reasoning, Content: strings.Join(parts, "\n")})
		case m.Role == "tool":
			content := "<tool_response>\n" + m.Content + "\n</tool_response>"
			if i > 0 && messages[i-1].Role == "tool" {
				out[len(out)-1].Content += "\n" + content
				continue
			}
			out = append(out, openapi.Message{Role: "user", Content: content})
		default:
			out = append(out, m)
		}
	}
	return out
}
