package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// event is one parsed line of a stream.
type event struct {
	text  bool // the line has text
	done  bool // the stream's last line
	usage *usage
}

// usage is the server's own count of a request.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

// StreamError is an error that a server sent inside a stream.
type StreamError struct{ Message string }

// Error implements error.
func (e *StreamError) Error() string { return "the server ended the stream: " + e.Message }

var (
	dataField = []byte("data:")
	doneMark  = []byte("[DONE]")
	usageKey  = []byte(`"usage"`)
	errorKey  = []byte(`"error"`)
	// textKeys are the names of a delta's text: reasoning_content in llama-server, reasoning in vLLM and Ollama.
	textKeys = [][]byte{[]byte(`"content"`), []byte(`"reasoning_content"`), []byte(`"reasoning"`)}
)

// maxUsageTokens bounds the token counts that a server reports.
const maxUsageTokens = 1 << 24

// parseEvent reads one line of a stream. A key inside text has a backslash before its quotes, so a search for quoted
// keys cannot match the model's text.
func parseEvent(line []byte) (event, error) {
	data, ok := bytes.CutPrefix(line, dataField)
	if !ok {
		return event{}, nil // a comment, an empty line or another field
	}
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, doneMark) {
		return event{done: true}, nil
	}
	found := event{text: slices.ContainsFunc(textKeys, func(key []byte) bool { return holdsText(data, key) })}
	if !holdsObject(data, usageKey) && !holdsObject(data, errorKey) && !holdsText(data, errorKey) {
		return found, nil
	}
	var decoded struct {
		Usage *usage       `json:"usage"`
		Error *serverError `json:"error"`
	}
	if err := json.Unmarshal(data, &decoded); err != nil {
		return event{}, fmt.Errorf("parse event of stream: %w", err)
	}
	if decoded.Error != nil {
		return event{}, &StreamError{oneLine(decoded.Error.message)}
	}
	if u := decoded.Usage; u != nil {
		if u.Prompt < 0 || u.Completion < 0 || u.Prompt > maxUsageTokens || u.Completion > maxUsageTokens {
			return event{}, fmt.Errorf("parse event of stream: usage %+v is out of range", *u)
		}
		found.usage = u
	}
	return found, nil
}

// serverError is OpenAI's error object, or the bare text that some servers send.
type serverError struct{ message string }

// UnmarshalJSON implements json.Unmarshaler.
func (e *serverError) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &e.message) == nil {
		return nil
	}
	var object struct {
		Message string `json:"message"`
	}
	err := json.Unmarshal(data, &object)
	e.message = object.Message
	return err
}

// oneLine returns the beginning of a server's message without line breaks.
func oneLine(text string) string {
	if len(text) > maxErrorBytes {
		text = strings.ToValidUTF8(text[:maxErrorBytes], "") + "…"
	}
	return strings.Join(strings.Fields(text), " ")
}

// value returns the bytes after a key and its colon, or nil without the key.
func value(data, key []byte) []byte {
	at := bytes.Index(data, key)
	if at < 0 {
		return nil
	}
	rest := bytes.TrimLeft(data[at+len(key):], " ")
	if len(rest) == 0 || rest[0] != ':' {
		return nil
	}
	return bytes.TrimLeft(rest[1:], " ")
}

// holdsText reports whether the value of a key is a string that is not empty.
func holdsText(data, key []byte) bool {
	v := value(data, key)
	return len(v) > 1 && v[0] == '"' && v[1] != '"'
}

func holdsObject(data, key []byte) bool {
	v := value(data, key)
	return len(v) > 0 && v[0] == '{'
}
