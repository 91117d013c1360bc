package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseEvent(t *testing.T) {
	for line, want := range map[string]event{
		"":               {},
		": ping":         {},
		"event: message": {},
		"data: [DONE]":   {done: true},
		"data:[DONE]":    {done: true},
		`data: {"choices":[{"delta":{"content":"a"}}]}`:                                    {text: true},
		`data: {"choices":[{"delta":{"content" : " \"content\":\"\""}}]}`:                  {text: true},
		`data: {"choices":[{"delta":{"role":"assistant","content":""}}]}`:                  {},
		`data: {"choices":[{"delta":{"content":null}}],"usage":null,"error":null}`:         {},
		`data: {"choices":[{"delta":{"content":"the \"usage\":{ of \"error\":{ words"}}]}`: {text: true},
		`data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}`:                         {text: true},
		`data: {"choices":[{"delta":{"content":"","reasoning":"hm"}}]}`:                    {text: true},
		`data: {"choices":[{"delta":{"content":""}}],"reasoning":{"effort":null}}`:         {},
	} {
		got, err := parseEvent([]byte(line))
		if err != nil || got != want {
			t.Errorf("parseEvent(%s) = %+v, %v, want %+v", line, got, err, want)
		}
	}
	got, err := parseEvent([]byte(`data: {"choices":[],"usage": {"prompt_tokens":3,"completion_tokens":4,"x":{}}}`))
	if err != nil || got.usage == nil || *got.usage != (usage{3, 4}) {
		t.Errorf("usage = %+v, %v, want 3 and 4", got.usage, err)
	}
	for _, line := range []string{`data: {"error":{"message":"engine failed"}}`, `data: {"error": "engine\n failed"}`} {
		var ended *StreamError
		if _, err := parseEvent([]byte(line)); !errors.As(err, &ended) || ended.Message != "engine failed" {
			t.Errorf("parseEvent(%s) = %v, want a StreamError", line, err)
		}
	}
	if _, err := parseEvent([]byte(`data: {"error": "` + strings.Repeat("engine failed ", 10000) + `"}`)); err == nil || len(err.Error()) > 2*maxErrorBytes {
		t.Errorf("a long error gives one of %d bytes", len(fmt.Sprint(err)))
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`))
	f.Add([]byte(`data: {"error":{"message":"x"}}`))
	f.Add([]byte(`data: [DONE]`))
	f.Add([]byte(`data: "content"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseEvent(line)
		if err == nil && e.usage != nil && (e.usage.Prompt < 0 || e.usage.Completion > maxUsageTokens) {
			t.Errorf("parseEvent(%q) = %+v, which is out of range", line, *e.usage)
		}
	})
}

func BenchmarkParseEvent(b *testing.B) {
	line := []byte(`data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1,"model":"m@0.2","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}],"usage":null}`)
	b.ReportAllocs()
	for b.Loop() {
		if e, err := parseEvent(line); err != nil || !e.text {
			b.Fatal(e, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
