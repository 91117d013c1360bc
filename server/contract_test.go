package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"prunellm/openapi"
)

// documents returns the parsed documents. The first one describes OpenAI's API.
var documents = sync.OnceValue(func() []*openapi3.T {
	var out []*openapi3.T
	for _, document := range openapi.Documents() {
		parsed, err := openapi3.NewLoader().LoadFromData(document.YAML)
		if err != nil {
			panic(err)
		}
		out = append(out, parsed)
	}
	return out
})

// errorSchema returns the schema of errors under a path.
func errorSchema(path string) *openapi3.Schema {
	switch dialect := dialectOf(path); {
	case dialect == anthropic:
		return documents()[1].Components.Schemas["Error"].Value
	case dialect.ofOllama():
		return documents()[2].Components.Schemas["Error"].Value
	}
	return documents()[0].Components.Schemas["ErrorBody"].Value
}

// operation returns the contract's operation for a request, or nil.
func operation(method, path string) *openapi3.Operation {
	for _, pattern := range []struct{ prefix, suffix, path string }{
		{"/v1/models/", "", "/v1/models/{model}"}, {"/web/", "", "/web/{file}"}, {"/docs/", "", "/docs/{file}"},
		{"/v1/responses/resp_", "", "/v1/responses/{id}"},
		{"/admin/variants/", "pin", "/admin/variants/{id}/{action}"}, {"/admin/variants/", "", "/admin/variants/{id}"},
	} {
		if strings.HasPrefix(path, pattern.prefix) && strings.HasSuffix(path, pattern.suffix) {
			path = pattern.path
			break
		}
	}
	for _, document := range documents() {
		if item := document.Paths.Find(path); item != nil {
			return item.GetOperation(method)
		}
	}
	return nil
}

// checkContract checks a request and its response against the document.
func checkContract(t *testing.T, req *http.Request, body []byte, got reply) {
	t.Helper()
	if dialectOf(req.URL.Path) == openAI {
		checkCode(t, got)
	}
	if req.Method == http.MethodOptions && got.status < 300 { // a browser's preflight request, which the documents do not list
		if req.Header.Get("Access-Control-Request-Method") == "" || got.header.Get("Access-Control-Allow-Origin") == "" || len(got.body) > 0 {
			t.Errorf("OPTIONS %s = %d %q with %v, want it only for preflight requests", req.URL.Path, got.status, got.body, got.header)
		}
		return
	}
	op := operation(req.Method, req.URL.Path)
	if op == nil {
		if got.status < 400 {
			t.Errorf("%s %s = %d, but the document lacks the operation", req.Method, req.URL.Path, got.status)
		}
		checkJSON(t, errorSchema(req.URL.Path), got.body)
		return
	}
	if got.status < 300 && op.RequestBody != nil {
		checkJSON(t, op.RequestBody.Value.Content.Get("application/json").Schema.Value, body)
	}
	response := op.Responses.Status(got.status)
	if response == nil {
		response = op.Responses.Default()
	}
	if got.header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s has no request id", req.Method, req.URL.Path)
	}
	if len(response.Value.Content) == 0 {
		if len(got.body) > 0 {
			t.Errorf("%s %s = %d with %d bytes, want no body", req.Method, req.URL.Path, got.status, len(got.body))
		}
		return
	}
	kind, _, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	media := response.Value.Content.Get(kind)
	switch {
	case err != nil || media == nil:
		t.Errorf("%s %s = %d with content type %q, which the document lacks", req.Method, req.URL.Path, got.status, got.header.Get("Content-Type"))
	case kind == "application/json":
		checkJSON(t, media.Schema.Value, got.body)
	case kind == mimeNDJSON:
		for line := range bytes.Lines(got.body) {
			if bytes.HasPrefix(line, []byte(`{"error"`)) {
				checkJSON(t, errorSchema(req.URL.Path), line)
			} else {
				checkJSON(t, media.Schema.Value, line)
			}
		}
	case kind == "text/event-stream":
		for _, event := range events(t, got.body) {
			if bytes.HasPrefix(event, []byte(`{"error"`)) {
				checkJSON(t, errorSchema(req.URL.Path), event)
			} else {
				checkJSON(t, media.Schema.Value, event)
			}
		}
	}
}

func checkJSON(t *testing.T, schema *openapi3.Schema, body []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Errorf("%.300q is not JSON: %v", body, err)
		return
	}
	if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%.600s\nviolates the contract: %v", body, err)
	}
}

// events returns the payloads of a stream, without its end.
func events(t *testing.T, body []byte) [][]byte {
	t.Helper()
	var out [][]byte
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && data != "[DONE]" {
			out = append(out, []byte(data))
		}
	}
	return out
}

// TestRoutesAreTheContract fails if the server's routes and the documents' paths differ.
func TestRoutesAreTheContract(t *testing.T) {
	s, err := New(Options{Models: newFake(), Chat: fakeChat(t, toolsUnknown)})
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]bool{}, map[string]bool{}
	patterns := map[string]string{} // as the document writes them
	for _, route := range s.app.GetRoutes(true) {
		patterns[route.Path] = strings.NewReplacer("models/*", "models/{model}", "variants/*", "variants/{id}", ":file", "{file}", ":id", "{id}").Replace(route.Path)
		if route.Method == http.MethodPost && route.Path == "/admin/variants/*" {
			got["POST /admin/variants/{id}/{action}"] = true
			continue
		}
		if route.Method != http.MethodHead {
			got[route.Method+" "+patterns[route.Path]] = true
		}
	}
	for _, document := range documents() {
		for path, item := range document.Paths.Map() {
			for method := range item.Operations() {
				want[method+" "+path] = true
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("routes differ from the documents (-documents +server):\n%s", diff)
	}
}
