package chat

import (
	"bytes"
	"encoding/json"
	"strings"

	"prunellm/openapi"
)

// definition returns a tool in the form that templates expect: {"type": "function", "function": {...}}.
func definition(tool openapi.Tool) json.RawMessage {
	type function struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Parameters  json.RawMessage `json:"parameters,omitempty"`
	}
	return encode(struct {
		Type     string   `json:"type"`
		Function function `json:"function"`
	}{"function", function{tool.Name, tool.Description, tool.Parameters}})
}

// arguments returns the arguments of a call as JSON. If they are not valid JSON, it returns them as a JSON string.
func arguments(call openapi.ToolCall) string {
	if raw := []byte(call.Function.Arguments); json.Valid(raw) {
		return string(readable(raw))
	}
	return string(encode(call.Function.Arguments))
}

// encode returns JSON for a model to read. value consists of strings and JSON, so encoding cannot fail.
func encode(value any) json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return readable(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// needless lists the characters that encoders escape for web pages although JSON does not require it. Models rarely saw
// them escaped in training.
var needless = map[string]string{"003c": "<", "003e": ">", "0026": "&", "2028": "\u2028", "2029": "\u2029"}

// readable replaces the escapes of needless characters in JSON with the characters, no matter who escaped them.
func readable(raw json.RawMessage) json.RawMessage {
	if !bytes.Contains(raw, []byte(`\u`)) {
		return raw
	}
	out := make(json.RawMessage, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		if i+6 <= len(raw) && raw[i+1] == 'u' {
			if plain, ok := needless[strings.ToLower(string(raw[i+2:i+6]))]; ok {
				out = append(out, plain...)
				i += 5
				continue
			}
		}
		out = append(out, raw[i], raw[i+1])
		i++
	}
	return out
}
