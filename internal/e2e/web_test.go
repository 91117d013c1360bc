package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"prunellm/internal/browsertest"
	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

const (
	pageAnswered = `document.querySelector(".turn.assistant:last-child")?.getAttribute("aria-busy") === "false"`
	pageSpeaker  = `document.querySelector(".turn.assistant:last-child .speaker")?.innerText`
)

// Uses the page with the binary, from a server that still prunes to a chart of three ratios that the page requested. The model
// is a small random one: its text is noise, everything else is real.
func TestWebPageMakesVariants(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{512, 512}}); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, "--model", model, "--ratio", "0.2", "--ctx", "512", "--cache-dir", filepath.Join(dir, "cache"), "--calibration-tokens", "4096", "--while-pruning", "wait")
	s.WaitFor("it listens", program.WarmLimit, func() bool { status, _ := s.Get("/healthz"); return status == 200 })
	page := browsertest.Open(t, s.Base, "/", 1280, 800)
	page.WaitFor("the server's model, ready", `document.querySelector("#model").textContent === "tiny" && document.querySelector("#state").hidden`)
	page.WaitFor("the slider at the server's ratio", `document.querySelector("#chat-ratio-input").value === "0.2"`)
	page.Focus(".settings summary")
	page.Press(kb.Enter)
	browsertest.Eval[string](page, `document.querySelector("#max-tokens").value = "24"`)

	page.Type("#prompt", "Hello"+kb.Enter)
	page.WaitFor("an answer", pageAnswered)
	page.WaitFor("the card", `/Removed\s+\d/.test(document.querySelector("#card").innerText)`)
	if speaker := browsertest.Eval[string](page, pageSpeaker); speaker != "tiny@0.2" {
		t.Errorf("the answer is by %q, want tiny@0.2", speaker)
	}
	page.WaitFor("the cost of pruning", `document.querySelector("#card").innerText.includes("Same next token")`)

	// The page requests another ratio, selected with the arrow keys, and the server makes it.
	page.Type("#chat-ratio-input", kb.ArrowRight+kb.ArrowRight)
	page.Type("#prompt", "And now?"+kb.Enter)
	page.WaitFor("an answer of the new variant", pageAnswered+` && `+pageSpeaker+` === "tiny@0.3"`)
	page.CheckAccessibility("chat")

	// Dense against pruned.
	page.Click("#tab-compare")
	page.Type("#compare-prompt", "One, two, three"+kb.Enter)
	page.WaitFor("both answers with their cards", `document.querySelectorAll("#compare .turn[aria-busy=false]").length === 2 && document.querySelectorAll("#compare .group").length === 6`)
	if found := page.Text("#compare .error"); found != "" {
		t.Errorf("the comparison failed: %s", found)
	}

	page.Click("#tab-chart")
	page.WaitFor("three variants in the table", `document.querySelectorAll("#table tbody tr").length >= 3`)
	page.WaitFor("their dots", `document.querySelectorAll("#figure circle").length >= 2`)
	page.CheckAccessibility("chart")
	for _, complaint := range page.Complaints() { // the page was opened before the server was ready
		if !strings.Contains(complaint, "503") {
			t.Error(complaint)
		}
	}
	page.Close()
	s.Stop()
}

// A real model's answer arrives in parts, and the stop button ends it on the server.
func TestWebPageStopsAnswer(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("web-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, "--ratio", "0", "--cache-dir", t.TempDir(), "--api-key-file", keys)
	s.WaitReady(program.WarmLimit)
	page := browsertest.Open(t, s.Base, "/", 1280, 800)
	page.WaitFor("the key dialog", `document.querySelector("#key-dialog").open`)
	page.Type("#key", "web-key"+kb.Enter)
	page.WaitFor("the model's name", `document.querySelector("#model").textContent !== ""`)
	browsertest.Eval[string](page, `document.querySelector("#max-tokens").value = "3000"`)
	page.Type("#prompt", "Write a very long story about a garden. Do not stop."+kb.Enter)
	page.WaitFor("the story's beginning", `document.querySelector(".turn.assistant .markdown")?.innerText.length > 40`)
	page.Click("#send")
	page.WaitFor("the end of the answer", pageAnswered)
	if got := page.Text(".turn.assistant .meta"); got != "Stopped." {
		t.Errorf("the answer ends with %q, want Stopped.", got)
	}
	s.WaitFor("no request is in flight", program.WarmLimit, func() bool { return s.Metric("prunellm_requests_in_flight") == 0 })
	if log := s.Stderr.String(); strings.Contains(log, "garden") || strings.Contains(log, "web-key") {
		t.Error("the log contains the prompt or the key")
	}
	for _, complaint := range page.Complaints() {
		if !strings.Contains(complaint, "401") {
			t.Error(complaint)
		}
	}
	page.Close()
	s.Stop()
}
