package openapi

import "testing"

func FuzzDecodeOllamaChat(f *testing.F) {
	for _, seed := range []string{
		`{"model":"a:latest","messages":[{"role":"User","content":"Hi"}],"stream":false,"options":{"num_ctx":4096,"num_predict":-1,"seed":-1,"temperature":0.5,"stop":["a"],"repeat_last_n":-1,"repeat_penalty":1.1,"mirostat":0,"num_gpu":1},"keep_alive":"5m"}`,
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"a":[1,"é,:"]}}},{"id":"x","function":{"name":"g","index":1}}]},{"role":"tool","tool_name":"g","content":"G"},{"role":"tool","tool_call_id":"x","content":"F"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"format":"json","think":"high"}`,
		`{"messages":[{"role":"user","content":"a"}],"format":{"type":"object"},"think":false,"logprobs":true,"top_logprobs":3,"truncate":true,"shift":false,"keep_alive":-1}`,
		`{"messages":[]}`, `{"messages":null,"model":null}`, `{"messages":[{"role":"tool","content":"a"}]}`, `{"messages":[{"role":"user","images":["a"]}]}`,
		`{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":null}}]},{"role":"assistant","content":"a"}]}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/api/chat", func(body []byte) error {
		_, err := DecodeOllamaChat(body, DefaultSampling)
		return err
	})
}

func FuzzDecodeOllamaGenerate(f *testing.F) {
	for _, seed := range []string{
		`{"model":"a@0.2","prompt":"Hi","system":"s","template":"","images":[],"context":[1,2],"format":"","options":null}`, `{"prompt":"a","raw":true,"format":"json"}`,
		`{"prompt":"a","suffix":"b","options":{"top_k":40.0,"grammar":"root ::= \"a\""}}`, `{"model":"a"}`, `{"prompt":"a","raw":true,"suffix":"b"}`,
		`{"prompt":"a","raw":true,"format":{"type":"object"},"options":{"json_schema":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/api/generate", func(body []byte) error {
		_, err := DecodeOllamaGenerate(body, DefaultSampling)
		return err
	})
}

func FuzzDecodeOllamaEmbed(f *testing.F) {
	for _, seed := range []string{`{"model":"a","input":"b","truncate":false}`, `{"input":["a","b"],"dimensions":3,"keep_alive":0,"options":{}}`, `{"input":""}`, `{"input":[null]}`} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/api/embed", func(body []byte) error {
		_, err := DecodeOllamaEmbed(body)
		return err
	})
}

func FuzzDecodeOllamaEmbeddings(f *testing.F) {
	f.Add([]byte(`{"model":"a","prompt":"b","options":{},"keep_alive":"1h"}`))
	fuzzDecode(f, "/api/embeddings", func(body []byte) error {
		_, err := DecodeOllamaEmbeddings(body)
		return err
	})
}

func FuzzDecodeOllamaNamed(f *testing.F) {
	for _, seed := range []string{`{"model":"a:latest"}`, `{"name":"a@0.2","stream":false}`, `{"model":null,"name":"b"}`, `{}`, `{"model":"@0.2:latest"}`} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/api/show", func(body []byte) error {
		_, err := DecodeOllamaNamed(body)
		return err
	})
}

func TestTags(t *testing.T) {
	for name, tagged := range map[string]string{
		"tiny": "tiny:latest", "tiny@0.2": "tiny@0.2:latest", "llama3:8b": "llama3:8b", "host:80/org/tiny": "host:80/org/tiny:latest", "tiny:latest": "tiny:latest",
	} {
		if got := Tagged(name); got != tagged {
			t.Errorf("Tagged(%q) = %q, want %q", name, got, tagged)
		}
		if got := Tagged(Untagged(tagged)); got != tagged {
			t.Errorf("%q without its tag, and with one, is %q", tagged, got)
		}
	}
}
