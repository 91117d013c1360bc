package server

import (
	"strings"
	"testing"
)

// TestStreamedUsage: whoever asks for the usage finds the field in every chunk, null before the last; whoever does not,
// in none.
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
				t.Fatalf("%s: event %d has no usage of null: %s", path, i, event)
			}
			if strings.Contains(string(plain[i]), `"usage"`) {
				t.Fatalf("%s: event %d has a usage that nobody asked for: %s", path, i, plain[i])
			}
		}
		if last := string(asked[len(asked)-1]); !strings.Contains(last, `"choices":[]`) || !strings.Contains(last, `"usage":{"prompt_tokens":`) {
			t.Errorf("%s: the last event is %s", path, last)
		}
	}
}
