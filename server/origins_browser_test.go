//go:build !race

package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"prunellm/internal/browsertest"
)

// A browser lets a page of an allowed origin use the API, with keys and the headers of clients. It blocks any other page.
func TestPageOfAnotherOrigin(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser")
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><title>other</title>`)
	}))
	defer other.Close()
	change := func(o *Options) { o.APIKeys = func() []string { return []string{"k"} } }
	closed := serve(t, newFake(), change)
	open := serve(t, newFake(), change, func(o *Options) { o.AllowedOrigins = []string{other.URL}; o.Admin = &fakeAdmin{} })
	page := browsertest.Open(t, other.URL, "/", 800, 600, open.url, closed.url)
	defer page.Close() // before the servers
	// ask returns "status variant body", or "blocked".
	ask := func(server, method, path, key, body string) string {
		t.Helper()
		browsertest.Eval[bool](page, fmt.Sprintf(`(() => {
			window.result = undefined
			const [method, body] = [%q, %q]
			fetch(%q, {method, body: body || undefined, headers: {
				"Authorization": "Bearer " + %q, "Content-Type": "application/json", "X-Stainless-Lang": "js", "anthropic-version": "2023-06-01"}})
				.then(async r => { window.result = [r.status, r.headers.get("x-prunellm-variant"), await r.text()].join(" ") })
				.catch(() => { window.result = "blocked" })
			return true
		})()`, method, body, server+path, key))
		page.WaitFor(method+" "+path, `window.result !== undefined`)
		return browsertest.Eval[string](page, `window.result`)
	}
	if got := ask(open.url, "POST", "/v1/chat/completions", "k", `{`+hi+`,"stream":true}`); !strings.HasPrefix(got, "200 tiny@0.2 data: ") || !strings.Contains(got, "data: [DONE]") {
		t.Errorf("a stream = %q", got)
	}
	if got := ask(open.url, "DELETE", "/v1/responses/resp_1", "k", ""); !strings.HasPrefix(got, "404 ") || !strings.Contains(got, `"error"`) {
		t.Errorf("an unknown response = %q", got)
	}
	if got := ask(open.url, "GET", "/v1/models", "wrong", ""); !strings.HasPrefix(got, "401 ") || !strings.Contains(got, "invalid_api_key") {
		t.Errorf("a wrong key = %q", got)
	}
	page.Complaints() // drops the browser's complaints about the statuses 404 and 401
	for _, url := range []string{open.url + "/admin/variants", closed.url + "/v1/models"} {
		if got := ask(url, "GET", "", "k", ""); got != "blocked" {
			t.Errorf("GET %s = %q, want it blocked", url, got)
		}
		if complaints := strings.Join(page.Complaints(), "\n"); !strings.Contains(complaints, "CORS") {
			t.Errorf("GET %s: complaints %q, want one about CORS", url, complaints)
		}
	}
}
