package chat

import (
	"bytes"
	"encoding/json"
	"strings"

	"prunellm/openapi"
)

// definition is a tool as templates know it: {"type": "function", "function": {...}}.
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

// arguments are those of a call as JSON: a text that is no JSON becomes a string.
func arguments(call openapi.ToolCall) string {
	if raw := []byte(call.Function.Arguments); json.Valid(raw) {
		return string(readable(raw))
	}
	return string(encode(call.Function.Arguments))
}

// encode writes JSON that a model reads. value is made of strings and JSON, which always encode.
func encode(value any) json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return readable(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// needless are the characters that encoders for web pages escape and JSON does not: models seldom saw them escaped.
var needless = map[string]string{"003c": "<", "003e": ">", "0026": "&", "2028": "\u2028", "2029": "\u2029"}

// readable writes the needless characters of JSON as they are, whoever escaped them.
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
