//go:build !race

package bench

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"prunellm/internal/browsertest"
)

// The page fits screens of two widths: no table scrolls on the wide one, and nothing is wider than the narrow one. The numbers
// of axes are not cut off: no pixel touches the left or the right edge of a chart.
func TestHTMLFits(t *testing.T) {
	long := report()
	for i := range long.Results {
		long.Results[i].Target.Name = strings.Repeat("a-model-with-a-long-name-", 2) + strconv.Itoa(i)
		long.Results[i].OutputThroughput, long.Results[i].TotalThroughput = 1234567.8, 12345678.9
		long.Results[i].TTFT.Percentiles = [4]float64{1234567.8, 2234567.8, 3234567.8, 4234567.8}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := long.HTML(w); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	for _, width := range []int{390, 1280} {
		page := browsertest.Open(t, server.URL, "/", width, 800)
		page.WaitFor("all charts are drawn", `document.querySelectorAll(".chart canvas").length === document.querySelectorAll(".chart").length`)
		if got := browsertest.Eval[int](page, `document.documentElement.scrollWidth`); got > width {
			t.Errorf("at %d px the page is %d wide", width, got)
		}
		if n := browsertest.Eval[int](page, `[...document.querySelectorAll(".wide")].filter((w) => w.scrollWidth > w.clientWidth).length`); n > 0 && width == 1280 {
			t.Errorf("at %d px %d tables scroll", width, n)
		}
		cut := browsertest.Eval[string](page, `[...document.querySelectorAll(".chart")].filter((chart) => {
			const c = chart.querySelector("canvas"), copy = new OffscreenCanvas(2, c.height).getContext("2d", { willReadFrequently: true });
			copy.drawImage(c, 0, 0, 1, c.height, 0, 0, 1, c.height);
			copy.drawImage(c, c.width - 1, 0, 1, c.height, 1, 0, 1, c.height);
			return copy.getImageData(0, 0, 2, c.height).data.some((v) => v > 0);
		}).map((chart) => chart.id).join(" ")`)
		if cut != "" {
			t.Errorf("at %d px the charts %s are cut off", width, cut)
		}
		page.Screenshot("bench-" + strconv.Itoa(width))
		page.Close()
	}
}

// A browser draws every chart, and requests only the page.
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
