package server

import (
	"strings"
	"testing"
)

// TestStreamedUsage checks that every chunk has the field usage if the client asks for it, null before the last chunk.
// Otherwise no chunk has it.
func TestStreamedUsage(t *testing.T) {
	fake := newFake()
	fake.answer = hello
	s := serve(t, fake)
	for path, body := range map[string]string{"/v1/chat/completions": `{` + hi, "/v1/completions": `{"prompt":"a"`} {
		plain := events(t, s.post(path, body+`,"stream":true}`).body)
		asked := events(t, s.post(path, body+`,"stream":true,"stream_options":{"include_usage":true}}`).body)
		if len(asked) != len(plain)+1 || len(plain) < 2 {
			t.Fatalf("%s: %d events with usage, %d without", path, len(asked), len(plain))
		}
		for i, event := range asked[:len(asked)-1] {
			if !strings.Contains(string(event), `"usage":null`) {
				t.Fatalf("%s: event %d lacks a null usage: %s", path, i, event)
			}
			if strings.Contains(string(plain[i]), `"usage"`) {
				t.Fatalf("%s: event %d has a usage that was not requested: %s", path, i, plain[i])
			}
		}
		if last := string(asked[len(asked)-1]); !strings.Contains(last, `"choices":[]`) || !strings.Contains(last, `"usage":{"prompt_tokens":`) {
			t.Errorf("%s: the last event is %s", path, last)
		}
	}
}
