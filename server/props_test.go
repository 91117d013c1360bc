package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/infer"
	"prunellm/openapi"
)

func someFacts(o *Options) {
	o.Facts = Facts{
		File: "tiny.Q4_1.gguf", Architecture: "llama", FileType: "q4_1", Bytes: 5000, Parameters: 1_234_567, Vocabulary: fakeVocab,
		HiddenSize: 2, Layers: 3, TrainedContext: 8192, Context: fakeContext, Slots: 4,
	}
}

// TestModelFields: what clients of vLLM and llama-server look for is in every entry.
func TestModelFields(t *testing.T) {
	fake := newFake()
	fake.template = thinks
	s := serve(t, fake, someFacts)
	var list openapi.ModelList
	s.do("GET", "/v1/models", "").decode(t, &list)
	if len(list.Data) != 2 {
		t.Fatalf("list %+v", list)
	}
	for _, model := range list.Data {
		want := openapi.ModelMeta{VocabType: 2, Vocabulary: fakeVocab, TrainedContext: 8192, Context: fakeContext, HiddenSize: 2}
		if model.ID == "tiny@0.2" {
			want.Parameters, want.Bytes = 1000, 4000
		}
		if model.MaxModelLen != fakeContext || !slices.Equal(model.Capabilities, []string{"completion", "tools", "thinking"}) ||
			!slices.Equal(model.Architecture.Input, []string{"text"}) {
			t.Errorf("entry %+v", model)
		}
		if diff := cmp.Diff(want, *model.Meta); diff != "" {
			t.Errorf("meta of %s (-want +got):\n%s", model.ID, diff)
		}
	}
	var one openapi.Model
	s.do("GET", "/v1/models/tiny@0.2", "").decode(t, &one)
	if diff := cmp.Diff(list.Data[0], one); diff != "" {
		t.Errorf("GET /v1/models/tiny@0.2 (-list +got):\n%s", diff)
	}
	var plain openapi.ModelList
	serve(t, newFake()).do("GET", "/v1/models", "").decode(t, &plain)
	if got := plain.Data[0]; slices.Contains(got.Capabilities, "thinking") || got.Meta != nil {
		t.Errorf("a model that does not think, of which nothing is known: %+v", got)
	}
}

// TestModelByAlias: an alias finds its own entry, and with a ratio that of the variant.
func TestModelByAlias(t *testing.T) {
	fake := newFake()
	fake.list = []openapi.Model{
		{ID: "tiny", Object: "model", OwnedBy: "prunellm", Root: "tiny"}, {ID: "gpt-4o", Object: "model", OwnedBy: "prunellm", Root: "tiny"},
		{ID: "tiny@0", Object: "model", OwnedBy: "prunellm", Root: "tiny"},
	}
	s := serve(t, fake)
	for path, want := range map[string]string{"tiny": "tiny", "gpt-4o": "gpt-4o", "gpt-4o@0": "tiny@0", "default": "tiny", "default@0": "tiny@0"} {
		var got openapi.Model
		s.do("GET", "/v1/models/"+path, "").decode(t, &got)
		if got.ID != want {
			t.Errorf("GET /v1/models/%s is %q, want %q", path, got.ID, want)
		}
	}
	if got := s.do("GET", "/v1/models/gpt-4o@0.3", ""); got.status != 404 {
		t.Errorf("an alias of a ratio that nobody made = %d %s", got.status, got.body)
	}
}

func TestProps(t *testing.T) {
	fake := newFake()
	s := serve(t, fake, someFacts, withKey)
	if got := s.do("GET", "/props", ""); got.status != 401 {
		t.Errorf("without a key = %d %s", got.status, got.body)
	}
	var props openapi.Props
	s.do("GET", "/props", "", "Authorization", "Bearer secret").decode(t, &props)
	want := openapi.Props{
		Settings: openapi.DefaultSettings(fakeContext, openapi.DefaultSampling), Slots: 4, ModelAlias: "tiny@0.2", ModelPath: "tiny.Q4_1.gguf",
		ChatTemplate: toolsUnknown, BOS: "<s>", EOS: "<|end|>", BuildInfo: "prunellm test",
	}
	if diff := cmp.Diff(want, props); diff != "" {
		t.Errorf("props (-want +got):\n%s", diff)
	}
	// The settings are those of a request that says nothing.
	s.post("/v1/completions", `{"prompt":"a"}`, "x-api-key", "secret")
	got, params := fake.last().Sampling, props.Settings.Params
	if got.Temperature != params.Temperature || got.TopK != params.TopK || got.TopP != params.TopP || got.MinP != params.MinP ||
		got.TypicalP != params.TypicalP || got.RepetitionPenalty != params.RepeatPenalty {
		t.Errorf("a request has %+v, props say %+v", got, params)
	}
	if got := s.post("/props", `{}`, "x-api-key", "secret"); got.status != 405 {
		t.Errorf("POST /props = %d %s, want 405: they are read-only", got.status, got.body)
	}
}

func withKey(o *Options) { o.APIKeys = func() []string { return []string{"secret"} } }

// TestSlots: how far requests are, and nothing of what they say.
func TestSlots(t *testing.T) {
	fake := newFake()
	fake.slots = []infer.Slot{{Busy: true, Cached: 9, Prompt: 12, Prefilled: 7, Generated: 2, MaxTokens: 5}, {Cached: 3}}
	s := serve(t, fake, someFacts, withKey)
	if got := s.do("GET", "/slots", ""); got.status != 401 {
		t.Errorf("without a key = %d %s", got.status, got.body)
	}
	get := func(query string) reply { return s.do("GET", "/slots"+query, "", "x-api-key", "secret") }
	var slots []openapi.Slot
	get("").decode(t, &slots)
	want := []openapi.Slot{
		{ID: 0, Model: "tiny@0.2", Context: fakeContext, Processing: true, CacheTokens: 9, PromptTokens: 12, PromptProcessed: 7, Next: openapi.SlotNext{HasNext: true, Remaining: 3, Decoded: 2}},
		{ID: 1, Model: "tiny@0.2", Context: fakeContext, CacheTokens: 3},
	}
	if diff := cmp.Diff(want, slots); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
	if got := get("?model=tiny@0.2&fail_on_no_slot=1"); got.status != 200 {
		t.Errorf("with a free slot = %d %s", got.status, got.body)
	}
	for query, want := range map[string]int{"?model=other": 404, "?model=tiny@0.3": 503, "?model=tiny@2": 400} {
		if got := get(query); got.status != want {
			t.Errorf("%s = %d %s, want %d", query, got.status, got.body, want)
		}
	}
	fake.slots[1].Busy = true
	if got := get("?fail_on_no_slot=1"); got.status != 503 || !strings.Contains(string(got.body), "no slot is available") {
		t.Errorf("without a free slot = %d %s", got.status, got.body)
	}
	if got := get("?fail_on_no_slot=0"); got.status != 200 {
		t.Errorf("fail_on_no_slot=0 = %d %s", got.status, got.body)
	}
}

// TestRerank: every path that a client may try says why there is no answer, behind the key.
func TestRerank(t *testing.T) {
	s := serve(t, newFake(), withKey)
	for _, path := range []string{"/rerank", "/v1/rerank", "/v2/rerank", "/reranking", "/v1/reranking"} {
		if got := s.post(path, `{"query":"a","documents":["b"]}`); got.status != 401 {
			t.Errorf("%s without a key = %d", path, got.status)
		}
		got := s.post(path, `{"model":"tiny","query":"a","documents":["b"]}`, "x-api-key", "secret")
		var body openapi.ErrorBody
		got.decode(t, &body)
		if got.status != 501 || *body.Error.Code != openapi.CodeNotImplemented || !strings.Contains(body.Error.Message, "/v1/embeddings") {
			t.Errorf("%s = %d %s", path, got.status, got.body)
		}
	}
}
