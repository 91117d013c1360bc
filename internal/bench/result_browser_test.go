//go:build !race

package bench

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"prunellm/internal/browsertest"
)

// In a browser every chart is drawn, and nothing is asked for but the page.
func TestHTMLDraws(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := report().HTML(w); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	page := browsertest.Open(t, server.URL, "/", 1000, 800)
	page.WaitFor("all charts are drawn", `document.querySelectorAll(".chart canvas").length === document.querySelectorAll(".chart").length`)
	if n := browsertest.Eval[int](page, `document.querySelectorAll(".chart canvas").length`); n != 6 {
		t.Errorf("%d charts, want 6", n)
	}
	if blank := browsertest.Eval[int](page, `[...document.querySelectorAll(".chart canvas")].filter((c) => !c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)).length`); blank != 0 {
		t.Errorf("%d charts are blank", blank)
	}
}
