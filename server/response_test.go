package server

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/infer"
	"prunellm/openapi"
)

const weatherFlat = `"tools":[{"type":"function","name":"weather","parameters":{"type":"object"}},{"type":"function","name":"time"}]`

// shape returns a response without its ids and times.
func shape(r openapi.Response) string {
	var out []string
	for _, item := range r.Output {
		switch item.Type {
		case "message":
			texts := []string{}
			for _, part := range *item.Content {
				texts = append(texts, part.Text)
			}
			out = append(out, item.Status+" "+strings.Join(texts, "|"))
		case "reasoning":
			out = append(out, item.Status+" "+item.ID[:3]+" "+(*item.Content)[0].Text)
		case "function_call":
			out = append(out, item.Status+" "+item.Name+*item.Arguments)
		}
	}
	return r.Status + ": " + strings.Join(out, ", ")
}

func TestResponses(t *testing.T) {
	tests := []struct{ name, answer, fields, want string }{
		{"text", "Hello, wörld!", ``, "completed: completed Hello, wörld!"},
		{"cut off", "Hello", `,"max_output_tokens":2`, "incomplete: incomplete He"},
		{"empty", "", ``, "completed: completed "},
		{"calls", "So: " + twoCalls, "," + weatherFlat, `completed: completed So: , completed weather{"place": "K\u00f6ln }\""}, completed time{}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := newFake()
			fake.context = 4096
			fake.answer = func(infer.Request) string { return test.answer }
			s := serve(t, fake)
			body := `{"input":"Hi","instructions":"Be nice","metadata":{"a":"b"}` + test.fields
			var plain openapi.Response
			s.post("/v1/responses", body+"}").decode(t, &plain)
			if got := shape(plain); got != test.want || plain.Usage == nil || plain.Usage.OutputTokens == 0 || string(plain.Metadata) != `{"a":"b"}` {
				t.Errorf("response %q, usage %+v, want %q", got, plain.Usage, test.want)
			}
			streamed := s.post("/v1/responses", body+`,"stream":true}`)
			last := checkEvents(t, streamed)
			if got := shape(*last); got != test.want {
				t.Errorf("stream %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(plain.Usage, last.Usage); diff != "" {
				t.Errorf("usage differs:\n%s", diff)
			}
		})
	}
}

// checkEvents checks that a stream's events are numbered, and that deltas add up to the final events.
func checkEvents(t *testing.T, got reply) *openapi.Response {
	t.Helper()
	var last *openapi.Response
	sums := map[string]string{}
	var kinds []string
	for i, raw := range events(t, got.body) {
		var e openapi.ResponseEvent
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if e.SequenceNumber != i {
			t.Errorf("event %d is numbered %d", i, e.SequenceNumber)
		}
		if e.Delta != nil {
			sums[e.ItemID] += *e.Delta
		}
		if !strings.Contains(string(got.body), "event: "+e.Type+"\n") {
			t.Errorf("no event line for %s", e.Type)
		}
		kinds = append(kinds, e.Type)
		last = e.Response
	}
	if !slices.Equal(kinds[:2], []string{"response.created", "response.in_progress"}) || last == nil {
		t.Fatalf("events %v", kinds)
	}
	for _, item := range last.Output {
		whole := ""
		if item.Content != nil {
			whole = (*item.Content)[0].Text
		} else {
			whole = *item.Arguments
		}
		if sums[item.ID] != whole {
			t.Errorf("deltas of %s add up to %q, want %q", item.ID, sums[item.ID], whole)
		}
	}
	return last
}

// TestResponseInput checks how items become the prompt.
func TestResponseInput(t *testing.T) {
	fake := newFake()
	fake.template = toolsHermes
	s := serve(t, fake)
	s.post("/v1/responses", `{"instructions":"Be nice","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
		{"type":"message","role":"assistant","content":[{"type":"output_text","text":"c"}]},
		{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_1","output":"d"}]}`)
	got := text(&fakeVariant{}, fake.last().Prompt)
	if want := "<s>system:Be nice<|end|>user:a\nb<|end|>assistant:c<|end|>tool:d<|end|>assistant:"; got != want {
		t.Errorf("prompt %q, want %q", got, want)
	}
}

// TestResponseEchoIsTaken checks that a client can send back the settings that a response repeats.
func TestResponseEchoIsTaken(t *testing.T) {
	got := serve(t, newFake()).post("/v1/responses", `{"input":"Hi","reasoning":{"effort":null,"summary":null},"previous_response_id":null,
		"store":false,"truncation":"disabled","metadata":{},"parallel_tool_calls":true,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[]}`)
	if got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestResponseFails covers an error after the stream has begun.
func TestResponseFails(t *testing.T) {
	fake := newFake()
	fake.panicAt = 3
	s := serve(t, fake)
	got := s.post("/v1/responses", `{"input":"Hi","stream":true}`)
	last := events(t, got.body)
	var e openapi.ResponseEvent
	if err := json.Unmarshal(last[len(last)-1], &e); err != nil {
		t.Fatal(err)
	}
	if e.Type != "response.failed" || e.Response.Error == nil || e.Response.Status != "failed" {
		t.Errorf("last event %s", last[len(last)-1])
	}
}
