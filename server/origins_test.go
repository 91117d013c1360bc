package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"prunellm/openapi"
)

func TestAllowedOrigins(t *testing.T) {
	for name, c := range map[string]struct {
		entries       []string
		allow, refuse []string
	}{
		"a name": {
			[]string{" https://App.Example "}, []string{"https://app.example", "https://app.example:443", "HTTPS://APP.example"},
			[]string{
				"", "null", "http://app.example", "https://app.example:444", "https://app.example:80", "https://a.app.example",
				"https://app.example.evil", "https://app.example/", "https://app.example/x", "https://x@app.example", "https://app.example#",
				"https://app.example?", "https://app.exampl%65", "https://app.example:", "app.example", "//app.example", "*",
				"https://app.example, https://evil.example", "https://app.example https://evil.example", "https://app.example:0443x",
			},
		},
		"a default port": {
			[]string{"https://a.example:443", "http://b.example:80"}, []string{"https://a.example", "http://b.example"},
			[]string{"http://a.example", "http://a.example:443", "https://b.example:80"},
		},
		"a port":          {[]string{"http://localhost:3000"}, []string{"http://localhost:3000"}, []string{"http://localhost", "http://127.0.0.1:3000"}},
		"IPv6":            {[]string{"http://[2001:DB8::0:1]:8080", "http://[::1]:80"}, []string{"http://[2001:db8::1]:8080", "http://[::1]"}, []string{"http://2001:db8::1:8080", "http://[::1]:8080"}},
		"an extension":    {[]string{"chrome-extension://abcd", "app://obsidian.md"}, []string{"chrome-extension://abcd", "app://obsidian.md"}, []string{"https://obsidian.md", "chrome-extension://abce"}},
		"null":            {[]string{"null"}, []string{"null"}, []string{"", "NULL", "https://app.example"}},
		"a name and null": {[]string{"null", "https://app.example"}, []string{"null", "https://app.example"}, []string{"https://evil.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, newFake(), func(o *Options) { o.AllowedOrigins = c.entries })
			allowed := func(origin string) string {
				return s.do("GET", "/v1/models", "", "Origin", origin).header.Get("Access-Control-Allow-Origin")
			}
			for _, origin := range c.allow {
				if got := allowed(origin); got != origin {
					t.Errorf("Origin %q is allowed as %q", origin, got)
				}
			}
			for _, origin := range c.refuse {
				if got := allowed(origin); got != "" {
					t.Errorf("Origin %q is allowed as %q", origin, got)
				}
			}
		})
	}
	for _, entry := range []string{
		"", "app.example", "https://", "https://app.example/", "https://app.example/x", "https://*.example", "https://u@app.example", "Null",
		"https://app.example:0", "https://app.example:99999", "https://app.example:", "https://[::1", "https://[fe80::1%25eth0]", "https://[app]",
		"https://a b", "https://bücher.example", "https://a.example;https://b.example", "file://", "https:app.example", "https://" + strings.Repeat("a", 600),
	} {
		if err := ParseOrigins([]string{"https://a.example", entry}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", entry)) {
			t.Errorf("entry %q: error %v, want it named", entry, err)
		}
		if _, err := New(Options{Models: newFake(), Chat: fakeChat(t, toolsUnknown), AllowedOrigins: []string{entry}}); err == nil {
			t.Errorf("entry %q makes a server", entry)
		}
	}
}

const page = "https://app.example"

// asks returns the headers of a preflight request.
func asks(origin, method, headers string) []string {
	out := []string{"Origin", origin, "Access-Control-Request-Method", method}
	if headers != "" {
		out = append(out, "Access-Control-Request-Headers", headers)
	}
	return out
}

func TestPreflight(t *testing.T) {
	s := serve(t, newFake(), func(o *Options) {
		o.AllowedOrigins = []string{page}
		o.APIKeys = func() []string { return []string{"k"} } // a preflight request has none
		o.RateLimit = 1
	})
	names := "anthropic-version, authorization, content-type, x-api-key, x-prunellm-wait, x-stainless-os"
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/responses/resp_1", "/tokenize", "/version"} {
		for range 2 {
			got := s.do("OPTIONS", path, "", asks(page, "POST", strings.ReplaceAll(names, " ", ""))...)
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin": page, "Access-Control-Allow-Methods": "GET, POST, DELETE", "Access-Control-Allow-Headers": names,
				"Access-Control-Max-Age": "600", "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
			} {
				if header := got.header.Get(name); got.status != 204 || header != want {
					t.Errorf("OPTIONS %s = %d with %s %q, want 204 with %q", path, got.status, name, header, want)
				}
			}
			if got.header.Get("Access-Control-Allow-Credentials") != "" || len(got.body) > 0 {
				t.Errorf("OPTIONS %s: headers %v, body %q", path, got.header, got.body)
			}
		}
	}
	for headers, want := range map[string]string{
		"": "", "a b": "", "a,,b": "", "a,b\"": "", "é": "", "a,*": "a, *", strings.Repeat("a,", 63) + "a": strings.Repeat("a, ", 63) + "a", strings.Repeat("a,", 64) + "a": "",
	} {
		got := s.do("OPTIONS", "/v1/models", "", asks(page, "GET", headers)...)
		if header := got.header.Get("Access-Control-Allow-Headers"); got.status != 204 || header != want {
			t.Errorf("%q: %d with the headers %q, want %q", headers, got.status, header, want)
		}
	}
	for name, c := range map[string]struct {
		path    string
		headers []string
		status  int
	}{
		"another origin":   {"/v1/models", asks("https://evil.example", "GET", ""), 405},
		"no method":        {"/v1/models", []string{"Origin", page}, 405},
		"no origin":        {"/v1/models", []string{"Access-Control-Request-Method", "GET"}, 405},
		"an admin's":       {"/admin/variants", asks(page, "POST", ""), 405},
		"an admin's other": {"/admin/variants/x@0.3/pin", asks(page, "POST", ""), 405},
		"metrics":          {"/metrics/", asks(page, "GET", ""), 405},
		"a foreign host":   {"/v1/models", append(asks(page, "GET", ""), "Host", "evil.example"), 403},
	} {
		got := s.do("OPTIONS", c.path, "", c.headers...)
		if got.status != c.status || got.header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %d with %v, want %d and no answer to a preflight", name, got.status, got.header, c.status)
		}
	}
	if log := s.log.String(); !strings.Contains(log, "route=preflight") {
		t.Errorf("log: %s", log)
	}
}

// Pages can read errors and streams too: a page that cannot read a 429 does not know when to retry.
func TestOriginOnEveryResponse(t *testing.T) {
	models := newFake()
	models.acquire = func(_ context.Context, model openapi.ModelName) error {
		if model.Base == "panic" {
			panic("on request")
		}
		return nil
	}
	s := serve(t, models, func(o *Options) {
		o.AllowedOrigins, o.MaxBodyBytes, o.RateLimit = []string{page}, 64<<10, 6
		o.APIKeys = func() []string { return []string{"k"} }
		o.Admin = &fakeAdmin{}
	})
	key := []string{"Authorization", "Bearer k"}
	chat := "/v1/chat/completions"
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
	}{
		{"GET", "/v1/models", "", key, 200},
		{"GET", "/version", "", nil, 200},
		{"GET", "/v1/models", "", nil, 401},
		{"GET", "/nothing", "", nil, 404},
		{"GET", chat, "", nil, 405},
		{"BREW", "/v1/models", "", nil, 405},
		{"POST", chat, `{` + hi + `}`, key, 200},
		{"POST", chat, `{` + hi + `,"stream":true}`, key, 200},
		{"POST", chat, `{"messages":1}`, key, 400},
		{"POST", chat, `{` + hi + `}`, append([]string{"Content-Type", "text/plain"}, key...), 415},
		{"POST", chat, `{` + hi + `,"model":"panic"}`, key, 500},
		{"POST", chat, `{` + hi + `}`, key, 200},
		{"POST", chat, `{` + hi + `}`, key, 429},
		{"POST", chat, `{` + hi + `,"pad":"` + strings.Repeat("x", 4<<20) + `"}`, key, 413},
		{"POST", "/v1/messages", "{}", nil, 401},
	} {
		for _, origin := range []string{page, "https://evil.example", ""} {
			if origin != page && (c.path == chat && c.headers != nil) { // the rate limit counts these
				continue
			}
			headers := c.headers
			if origin != "" {
				headers = append(slices.Clone(headers), "Origin", origin)
			}
			got := s.do(c.method, c.path, c.body, headers...)
			want := ""
			if origin == page {
				want = page
			}
			if allowed := got.header.Get("Access-Control-Allow-Origin"); got.status != c.status || allowed != want || got.header.Get("Vary") != "Origin" {
				t.Errorf("%s %s from %q = %d, allows %q, varies by %q, want %d, %q", c.method, c.path, origin, got.status, allowed, got.header.Get("Vary"), c.status, want)
			}
			if exposed := got.header.Get("Access-Control-Expose-Headers"); (exposed != "") != (want != "") {
				t.Errorf("%s %s from %q exposes %q", c.method, c.path, origin, exposed)
			}
		}
	}
	for _, path := range []string{"/", "/docs", "/web/page.js", "/metrics", "/metrics/", "/admin/variants", "/admin/variants/", "/admin/nothing"} {
		request, err := http.NewRequest(http.MethodGet, s.url+path, nil) // without do, because no document lists paths with final slashes
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Origin": {page}, "Authorization": {"Bearer k"}}
		response, err := s.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if header := response.Header.Get("Access-Control-Allow-Origin"); header != "" {
			t.Errorf("GET %s allows the origin %q, want only the server's own pages", path, header)
		}
	}
	if got := s.do("POST", "/admin/variants/x@0.3/pin", "", append(key, "Origin", page)...); got.status != 403 {
		t.Errorf("an administrator's request from an allowed origin = %d, want 403", got.status)
	}
}

func TestAllOrigins(t *testing.T) {
	s := serve(t, newFake(), func(o *Options) { o.AllowedOrigins = []string{page, "*"} })
	for _, origin := range []string{page, "https://any.example", "null", ""} {
		got := s.do("GET", "/v1/models", "", "Origin", origin)
		if header := got.header; header.Get("Access-Control-Allow-Origin") != "*" || header.Get("Access-Control-Allow-Credentials") != "" || header.Get("Vary") != "" {
			t.Errorf("Origin %q: %v", origin, header)
		}
	}
	if got := s.do("OPTIONS", "/v1/models", "", asks("https://any.example", "GET", "authorization")...); got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight = %d %v", got.status, got.header)
	}
	if got := s.do("GET", "/admin/variants", "", "Origin", page); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("an administrator's endpoint: %v", got.header)
	}
}

// Scripts may read every header that the documents describe, and every header of the rate limit.
func TestExposedHeaders(t *testing.T) {
	exposed := http.Header{}
	for name := range strings.SplitSeq(exposedHeaders, ", ") {
		exposed.Set(name, "x")
	}
	count := 0
	for _, document := range documents() {
		for path, item := range document.Paths.Map() {
			for method, operation := range item.Operations() {
				for _, response := range operation.Responses.Map() {
					for name := range response.Value.Headers {
						count++
						if exposed.Get(name) == "" {
							t.Errorf("%s %s has the header %s, which no script may read", method, path, name)
						}
					}
				}
			}
		}
	}
	if count == 0 {
		t.Error("the documents have no headers")
	}
	s := serve(t, newFake(), func(o *Options) { o.RateLimit = 9 })
	for name := range s.post("/v1/chat/completions", `{`+hi+`}`).header {
		if strings.HasPrefix(name, "X-") && name != "X-Content-Type-Options" && exposed.Get(name) == "" {
			t.Errorf("no script may read %s", name)
		}
	}
}

func TestVersion(t *testing.T) {
	s := serve(t, newFake(), func(o *Options) {
		o.Version = "1.2.3"
		o.APIKeys = func() []string { return []string{"k"} }
	})
	if got := s.do("GET", "/version", ""); got.status != 200 || string(got.body) != `{"version":"1.2.3"}` {
		t.Errorf("version = %d %s", got.status, got.body)
	}
}
