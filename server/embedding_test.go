package server

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/openapi"
)

func TestEmbeddings(t *testing.T) {
	s := serve(t, newFake())
	tests := []struct {
		body   string
		want   []any
		tokens int
	}{
		{`{"input":"ab"}`, []any{[]any{3.0, 257.5}}, 3}, // and the beginning-of-sequence token
		{`{"input":["ab","c"],"encoding_format":"float","dimensions":2}`, []any{[]any{3.0, 257.5}, []any{2.0, 257.5}}, 5},
		{`{"input":[97,98]}`, []any{[]any{2.0, 97.5}}, 2},
		{`{"input":[[97],[98,99]],"encoding_format":"base64","model":"tiny@0"}`, []any{"AACAPwAAw0I=", "AAAAQAAAxUI="}, 3},
	}
	for _, test := range tests {
		got := s.post("/v1/embeddings", test.body)
		var out openapi.EmbeddingResponse
		got.decode(t, &out)
		var vectors []any
		for i, e := range out.Data {
			if e.Index != i {
				t.Errorf("vector %d has index %d", i, e.Index)
			}
			vectors = append(vectors, e.Embedding)
		}
		if diff := cmp.Diff(test.want, vectors); diff != "" || out.Usage.PromptTokens != test.tokens || out.Model != got.header.Get("x-prunellm-variant") {
			t.Errorf("%s: usage %+v, model %s\n%s", test.body, out.Usage, out.Model, diff)
		}
	}
}

// TestManyEmbeddings sends batches of OpenAI's maximum size, as clients do.
func TestManyEmbeddings(t *testing.T) {
	s := serve(t, newFake())
	for n, status := range map[int]int{2048: 200, 2049: 400} {
		texts := slices.Repeat([]string{"ab"}, n)
		body, err := json.Marshal(map[string]any{"input": texts})
		if err != nil {
			t.Fatal(err)
		}
		got := s.post("/v1/embeddings", string(body))
		var out openapi.EmbeddingResponse
		if got.decode(t, &out); got.status != status || (status == 200 && len(out.Data) != n) {
			t.Errorf("%d texts: status %d, %d vectors, want %d", n, got.status, len(out.Data), status)
		}
	}
}
