package server

import (
	"strings"
	"testing"

	"prunellm/openapi"
)

// fakeAdmin has the variants tiny@0.2 and own/er@0.3.
type fakeAdmin struct{ did []string }

func (a *fakeAdmin) Variants() []openapi.AdminVariant {
	return []openapi.AdminVariant{a.variant("tiny@0.2"), a.variant("own/er@0.3")}
}

func (a *fakeAdmin) variant(id string) openapi.AdminVariant {
	return openapi.AdminVariant{ID: id, Object: "variant", Ratio: 0.2, State: openapi.StateLoaded, Card: &openapi.Card{Ratio: 0.2}}
}

func (a *fakeAdmin) Make(ratio float64) (openapi.AdminVariant, error) {
	v := a.variant("tiny@" + openapi.FormatRatio(ratio))
	if ratio != 0.2 {
		v.State, v.Card = openapi.StateMaking, nil
	}
	return v, nil
}

func (a *fakeAdmin) Pin(name openapi.ModelName, pin bool) (openapi.AdminVariant, error) {
	if name.Base == "other" {
		return openapi.AdminVariant{}, ErrModelNotFound
	}
	v := a.variant(name.String())
	v.Pinned = pin
	return v, nil
}

func (a *fakeAdmin) Delete(name openapi.ModelName) error {
	if name.String() == "tiny@0.2" {
		return &ConflictError{Reason: "it was there first"}
	}
	a.did = append(a.did, name.String())
	return nil
}

func TestAdminEndpoints(t *testing.T) {
	admin := &fakeAdmin{}
	s := serve(t, newFake(), func(o *Options) { o.Admin = admin })
	tests := []struct {
		method, path, body string
		status             int
		has                string
	}{
		{"GET", "/admin/variants", "", 200, `"id":"own/er@0.3"`},
		{"POST", "/admin/variants", `{"ratio":0.2}`, 200, `"state":"loaded"`},
		{"POST", "/admin/variants", `{"ratio":0.3}`, 202, `"state":"making"`},
		{"POST", "/admin/variants", `{"ratio":1}`, 400, `"param":"ratio"`},
		{"POST", "/admin/variants", `{}`, 400, `"param":"ratio"`},
		{"POST", "/admin/variants/tiny@0.2/pin", "", 200, `"pinned":true`},
		{"POST", "/admin/variants/own/er%400.3/unpin", "", 200, `"id":"own/er@0.3"`},
		{"POST", "/admin/variants/other@0.2/pin", "", 404, openapi.CodeModelNotFound},
		{"POST", "/admin/variants/tiny@0.2", "", 404, "unknown_url"},
		{"DELETE", "/admin/variants/tiny@0.2", "", 409, openapi.CodeConflict},
		{"DELETE", "/admin/variants/own/er@0.3", "", 200, `"deleted":true`},
		{"DELETE", "/admin/variants/tiny@7", "", 400, openapi.CodeInvalidRatio},
	}
	for _, test := range tests {
		if got := s.do(test.method, test.path, test.body); got.status != test.status || !strings.Contains(string(got.body), test.has) {
			t.Errorf("%s %s = %d %s, want %d with %s", test.method, test.path, got.status, got.body, test.status, test.has)
		}
	}
	if got := s.do("DELETE", "/admin/variants/x@0.3", "", "Origin", "https://evil.example"); got.status != 403 || len(admin.did) != 1 {
		t.Errorf("a cross-origin request = %d %s, deleted %v", got.status, got.body, admin.did)
	}
	if got := s.do("POST", "/admin/variants/x@0.3/pin", "", "Origin", s.url); got.status != 200 {
		t.Errorf("a same-origin request = %d %s", got.status, got.body)
	}
	locked := serve(t, newFake(), func(o *Options) { o.Admin, o.APIKeys = admin, func() []string { return []string{"k"} } })
	if got := locked.do("GET", "/admin/variants", ""); got.status != 401 {
		t.Errorf("without a key = %d", got.status)
	}
	if got := serve(t, newFake()).do("GET", "/admin/variants", ""); got.status != 404 {
		t.Errorf("without an Admin = %d", got.status)
	}
}

func TestDocsPage(t *testing.T) {
	s := serve(t, newFake())
	page := s.do("GET", "/docs", "")
	if page.status != 200 || !strings.Contains(page.header.Get("Content-Security-Policy"), "script-src 'self'") || strings.Contains(string(page.body), "//cdn") {
		t.Errorf("/docs = %d, %s", page.status, page.header)
	}
	for file, has := range map[string]string{"start.js": "/openapi.json", "swagger-ui.css": ".swagger-ui", "swagger-ui-bundle.js": "SwaggerUIBundle"} {
		if !strings.Contains(string(page.body), "/docs/"+file) {
			t.Errorf("the page does not load %s", file)
		}
		if got := s.do("GET", "/docs/"+file, ""); got.status != 200 || !strings.Contains(string(got.body), has) {
			t.Errorf("/docs/%s = %d", file, got.status)
		}
	}
	if got := s.do("GET", "/docs/index.html", ""); got.status != 404 {
		t.Errorf("/docs/index.html = %d", got.status)
	}
}
