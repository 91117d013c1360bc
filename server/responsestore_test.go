package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"prunellm/infer"
	"prunellm/openapi"
)

func serveStored(t *testing.T, change ...func(*Options)) (*testServer, *fakeModels) {
	t.Helper()
	fake := newFake()
	fake.context = 4096
	fake.answer = func(infer.Request) string { return "Four." }
	s := serve(t, fake, append([]func(*Options){func(o *Options) { o.ResponseStoreBytes = 1 << 20 }}, change...)...)
	return s, fake
}

func (s *testServer) respond(body string, headers ...string) openapi.Response {
	s.Helper()
	var response openapi.Response
	got := s.post("/v1/responses", body, headers...)
	if got.status != 200 {
		s.Fatalf("%s = %d %s", body, got.status, got.body)
	}
	got.decode(s.T, &response)
	return response
}

// A request can continue a stored response, even one that continued another.
func TestPreviousResponse(t *testing.T) {
	s, fake := serveStored(t)
	first := s.respond(`{"input":"Two and two?","instructions":"Be brief."}`)
	if !first.Store || first.PreviousResponseID != nil {
		t.Errorf("the first response: store %v, previous %v", first.Store, first.PreviousResponseID)
	}
	second := s.respond(`{"input":[{"role":"user","content":"And two?"}],"previous_response_id":"` + first.ID + `"}`)
	if second.PreviousResponseID == nil || *second.PreviousResponseID != first.ID {
		t.Errorf("previous_response_id = %v, want %s", second.PreviousResponseID, first.ID)
	}
	s.respond(`{"input":"Sure?","instructions":"Be sure.","previous_response_id":"` + second.ID + `"}`)
	want := "system:Be sure.<|end|>user:Two and two?<|end|>assistant:Four.<|end|>user:And two?<|end|>assistant:Four.<|end|>user:Sure?<|end|>assistant:"
	if got := text(&fakeVariant{}, fake.last().Prompt); !strings.HasSuffix(got, want) {
		t.Errorf("prompt %q, want %q", got, want)
	}
	var count openapi.InputTokens
	s.post("/v1/responses/input_tokens", `{"input":"Sure?","previous_response_id":"`+second.ID+`"}`).decode(t, &count)
	if alone := s.respond(`{"input":"Sure?"}`).Usage.InputTokens; count.Tokens <= alone {
		t.Errorf("%d input tokens after a conversation, %d without it", count.Tokens, alone)
	}
}

// A client can refer to a stored item instead of sending it.
func TestItemReference(t *testing.T) {
	s, fake := serveStored(t)
	first := s.respond(`{"input":"Two and two?"}`)
	s.respond(`{"input":[{"role":"user","content":"Two and two?"},{"type":"item_reference","id":"` + first.Output[0].ID + `"},{"role":"user","content":"Sure?"}]}`)
	if got := text(&fakeVariant{}, fake.last().Prompt); !strings.Contains(got, "assistant:Four.<|end|>user:Sure?") {
		t.Errorf("prompt %q lacks the item", got)
	}
	if got := s.post("/v1/responses", `{"input":[{"type":"item_reference","id":"msg_1"}]}`); got.status != 400 || !strings.Contains(string(got.body), "input[0].type") {
		t.Errorf("an unknown item = %d %s", got.status, got.body)
	}
}

func TestGetAndDeleteResponse(t *testing.T) {
	s, _ := serveStored(t)
	stream := s.post("/v1/responses", `{"input":"Hi","stream":true}`)
	all := events(t, stream.body)
	var last openapi.ResponseEvent
	if err := json.Unmarshal(all[len(all)-1], &last); err != nil {
		t.Fatal(err)
	}
	var got openapi.Response
	s.do("GET", "/v1/responses/"+last.Response.ID, "").decode(t, &got)
	if got.ID != last.Response.ID || got.Status != "completed" || shape(got) != shape(*last.Response) {
		t.Errorf("stored %+v, streamed %+v", got, last.Response)
	}
	kept := s.respond(`{"input":"Hi","store":false}`)
	for _, id := range []string{kept.ID, "resp_1"} {
		if got := s.do("GET", "/v1/responses/"+id, ""); got.status != 404 {
			t.Errorf("GET %s = %d, want 404", id, got.status)
		}
	}
	if kept.Store {
		t.Error("the response to store: false has store: true")
	}
	if got := s.do("DELETE", "/v1/responses/"+last.Response.ID, ""); got.status != 200 || !strings.Contains(string(got.body), `"deleted":true`) {
		t.Errorf("DELETE = %d %s", got.status, got.body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if got := s.do(method, "/v1/responses/"+last.Response.ID, ""); got.status != 404 {
			t.Errorf("%s of a deleted response = %d", method, got.status)
		}
	}
	if got := s.post("/v1/responses", `{"input":"Hi","previous_response_id":"`+last.Response.ID+`"}`); got.status != 400 || !strings.Contains(string(got.body), openapi.CodePreviousNotFound) {
		t.Errorf("a request that continues a deleted response = %d %s", got.status, got.body)
	}
}

func TestResponseStoreOff(t *testing.T) {
	s := serve(t, newFake())
	response := s.respond(`{"input":"Hi"}`)
	if response.Store {
		t.Error("the response says that it is stored")
	}
	if got := s.do("GET", "/v1/responses/"+response.ID, ""); got.status != 404 || !strings.Contains(string(got.body), "--response-store") {
		t.Errorf("GET = %d %s", got.status, got.body)
	}
}

// A key cannot read the responses of another.
func TestResponsesBelongToAKey(t *testing.T) {
	s, _ := serveStored(t, func(o *Options) { o.APIKeys = func() []string { return []string{"one", "two"} } })
	mine := s.respond(`{"input":"Hi"}`, "Authorization", "Bearer one")
	for key, want := range map[string]int{"one": 200, "two": 404} {
		if got := s.do("GET", "/v1/responses/"+mine.ID, "", "Authorization", "Bearer "+key); got.status != want {
			t.Errorf("GET with key %s = %d, want %d", key, got.status, want)
		}
	}
	body := fmt.Sprintf(`{"input":[{"type":"item_reference","id":%q}]}`, mine.Output[0].ID)
	if got := s.post("/v1/responses", body, "Authorization", "Bearer two"); got.status != 400 {
		t.Errorf("an item of another key = %d %s", got.status, got.body)
	}
}

// Responses expire after an hour. At its limits a key loses its oldest responses.
func TestResponseStoreBounds(t *testing.T) {
	now := time.Now()
	store := newResponseStore(4000, true)
	store.now = func() time.Time { return now }
	one, two := &keysResponses{store, owner{1}}, &keysResponses{store, owner{2}}
	put := func(keys *keysResponses, id string, size int) {
		t.Helper()
		response := openapi.Response{ID: id, Output: []openapi.ResponseItem{{ID: "msg_" + id}}}
		if err := keys.put(response, []json.RawMessage{json.RawMessage(`"` + strings.Repeat("x", size) + `"`)}); err != nil {
			t.Fatal(err)
		}
	}
	has := func(keys *keysResponses, id string) bool {
		_, body := keys.Conversation(id)
		_, item := keys.Item("msg_" + id)
		if body != item {
			t.Errorf("%s: response %v, item %v", id, body, item)
		}
		return body
	}
	put(two, "other", 1000)
	put(one, "a", 1000)
	put(one, "b", 1000)
	put(one, "c", 1000)
	if has(one, "a") || !has(one, "b") || !has(one, "c") || !has(two, "other") {
		t.Error("at the limit of bytes, want only the oldest response of the same key evicted")
	}
	put(one, "large", 5000)
	if has(one, "large") || !has(one, "c") {
		t.Error("a response above the limit is stored, or evicts others")
	}
	now = now.Add(storedFor)
	if has(one, "c") {
		t.Error("an expired response is found")
	}
	put(one, "late", 10)
	if len(store.owners) != 1 {
		t.Errorf("%d keys have responses, want one: those of the others have expired", len(store.owners))
	}
	store.bytes = 1 << 30
	for i := range maxStoredResponses + 1 {
		put(one, fmt.Sprint(i), 1)
	}
	if has(one, "0") || !has(one, fmt.Sprint(maxStoredResponses)) {
		t.Errorf("more than %d responses are kept", maxStoredResponses)
	}
	if owned := store.owners[owner{1}]; len(owned.items) != maxStoredResponses || len(owned.byID) != maxStoredResponses {
		t.Errorf("%d items and %d responses are left", len(owned.items), len(owned.byID))
	}
}
