package server

import (
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"prunellm/server/web"
)

// Every file has its type, the policy and an entity tag that saves the second transfer.
func TestPageFiles(t *testing.T) {
	s := serve(t, newFake())
	paths := []string{"/"}
	entries, err := fs.ReadDir(web.Files(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		paths = append(paths, "/web/"+entry.Name())
	}
	for _, path := range paths {
		got := s.do("GET", path, "")
		if got.status != http.StatusOK || len(got.body) == 0 {
			t.Errorf("GET %s = %d with %d bytes, want 200 and a body", path, got.status, len(got.body))
		}
		policy := got.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("GET %s has policy %q", path, policy)
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("GET %s has headers %v, want nosniff and no-cache", path, got.header)
		}
		again := s.do("GET", path, "", "If-None-Match", got.header.Get("ETag"))
		if again.status != http.StatusNotModified || len(again.body) != 0 {
			t.Errorf("GET %s with its tag = %d with %d bytes, want 304 and none", path, again.status, len(again.body))
		}
	}
	if got := s.do("GET", "/web/..%2fweb.go", ""); got.status != http.StatusNotFound {
		t.Errorf("GET of a file outside = %d, want 404", got.status)
	}
}

// The policy forbids inline scripts, styles and handlers, so the page must have none. It also refers to no other host.
func TestPageIsSelfContained(t *testing.T) {
	page, err := fs.ReadFile(web.Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{`(?i)<script(?:[^>]*)>[^<]`, `(?i)<style`, `(?i)\sstyle=`, `(?i)\son[a-z]+=`, `(?i)(?:href|src)="(?:https?:)?//`} {
		if found := regexp.MustCompile(wrong).Find(page); found != nil {
			t.Errorf("index.html holds %q", found)
		}
	}
	for _, match := range regexp.MustCompile(`(?:href|src)="web/([^"]+)"`).FindAllSubmatch(page, -1) {
		if _, err := fs.Stat(web.Files(), string(match[1])); err != nil {
			t.Errorf("index.html refers to %s: %v", match[1], err)
		}
	}
}

// A key protects the requests of the page, not the page.
func TestPageNeedsNoKey(t *testing.T) {
	s := serve(t, newFake(), func(o *Options) { o.APIKeys = func() []string { return []string{"secret"} } })
	if got := s.do("GET", "/", ""); got.status != http.StatusOK {
		t.Errorf("GET / = %d, want 200", got.status)
	}
	if got := s.do("GET", "/v1/models", ""); got.status != http.StatusUnauthorized {
		t.Errorf("GET /v1/models = %d, want 401", got.status)
	}
}
