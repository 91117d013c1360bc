// Package browsertest drives the web page in a real headless Chromium, for tests.
//
// # Waiting
//
// Every wait polls a condition until it holds. If it does not hold within Patience, the test fails.
//
// # Errors
//
// Page collects errors of the console, the content security policy and the network. Close, which the test's cleanup calls,
// fails the test for each error. A test that expects an error removes it with Complaints.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Patience is the timeout of a condition. Even on a busy machine, a working page needs only a small part of it.
const Patience = 2 * time.Minute

// programs are the names of Chromium on various systems, the smallest build first.
var programs = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// Page is a browser with one page open.
type Page struct {
	t    testing.TB
	base string
	also []string // other servers to which the page may send requests
	ctx  context.Context

	closing sync.Once
	close   func()

	mu         sync.Mutex
	requests   []string // requested URLs
	complaints []string
}

// Open starts a browser with an empty profile and a window of width x height pixels, and opens base + path. The page may send
// requests only to the server at base and those at the URLs also. Without Chromium, Open skips the test; in CI it fails the
// test.
func Open(t testing.TB, base, path string, width, height int, also ...string) *Page {
	t.Helper()
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(find(t)),
		chromedp.NoSandbox, // containers run tests as root
		chromedp.WindowSize(width, height),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.UserDataDir(t.TempDir()),
	)...)
	p := &Page{t: t, base: base, also: also}
	ctx, stop := chromedp.NewContext(allocator, chromedp.WithListener(p.listen))
	p.ctx = ctx
	p.close = func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("close the browser: %v", err)
		}
		stop()
		stopAllocator()
		for _, complaint := range p.Complaints() {
			t.Errorf("the page complained: %s", complaint)
		}
		p.checkRequests()
	}
	t.Cleanup(p.Close)
	if err := chromedp.Do(ctx); err != nil { // without a timeout, because its end would stop the browser
		t.Fatalf("start the browser: %v", err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("watch the network: %v", err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatalf("watch the log: %v", err)
	}
	p.do(chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Navigate(base+path))
	return p
}

// Close ends the browser and fails the test for errors of the page and for requests to other servers. It is idempotent and
// runs when the test ends. A test that stops the server must close the page first, because the page would report the missing
// server.
func (p *Page) Close() { p.closing.Do(p.close) }

func find(t testing.TB) string {
	t.Helper()
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "Chromium is missing: run make setup-tests")
	return ""
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func (p *Page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, "exception: "+describe(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			var text []string
			for _, arg := range e.Args {
				text = append(text, string(arg.Value)+arg.Description)
			}
			p.complaints = append(p.complaints, "console: "+strings.Join(text, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.complaints = append(p.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

// Complaints returns and clears the errors that the page has reported so far.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.complaints
	p.complaints = nil
	return taken
}

// checkRequests fails the test for each request to a server other than the one under test.
func (p *Page) checkRequests() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	servers := map[string]bool{}
	for _, server := range append([]string{p.base}, p.also...) {
		parsed, err := url.Parse(server)
		if err != nil {
			p.t.Error(err)
			return
		}
		servers[parsed.Scheme+"://"+parsed.Host] = true
	}
	if len(p.requests) == 0 {
		p.t.Error("no request was recorded")
	}
	for _, request := range p.requests {
		if strings.HasPrefix(request, "data:") { // part of a loaded file
			continue
		}
		to, err := url.Parse(request)
		if err != nil || !servers[to.Scheme+"://"+to.Host] {
			p.t.Errorf("the page requested %s, which is on another server", request)
		}
	}
}

func describe(details *runtime.ExceptionDetails) string {
	if details.Exception != nil && details.Exception.Description != "" {
		return details.Exception.Description
	}
	return details.Text
}

// do runs actions in the page.
func (p *Page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, Patience)
	defer stop()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("in the browser: %v", err)
	}
}

// Click clicks an element with the mouse.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// Focus puts the keyboard's focus on an element.
func (p *Page) Focus(selector string) {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.CSS(selector)))
}

// Press types keys into the focused element. Package kb has the keys that are not characters.
func (p *Page) Press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// Type focuses an element and types keys.
func (p *Page) Type(selector, keys string) {
	p.t.Helper()
	p.Focus(selector)
	p.Press(keys)
}

// Phone resizes the page's window to a phone's screen.
func (p *Page) Phone() {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
}

// PreferDark emulates a system with a dark color scheme.
func (p *Page) PreferDark() { p.t.Helper(); p.emulate("prefers-color-scheme", "dark") }

// ForceColors emulates a system that chooses all colors (forced-colors).
func (p *Page) ForceColors() { p.t.Helper(); p.emulate("forced-colors", "active") }

func (p *Page) emulate(feature, value string) {
	p.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
		p.t.Fatalf("in the browser: %v", err)
	}
}

// Eval evaluates a JavaScript expression, awaits a promise and decodes the value into T.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, Patience)
	defer stop()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("in the browser: %v: %.200s", err, expression)
	}
	return value
}

// WaitFor polls a JavaScript condition.
func (p *Page) WaitFor(what, condition string) {
	p.t.Helper()
	deadline := time.Now().Add(Patience)
	for !Eval[bool](p, "Boolean("+condition+")") {
		if time.Now().After(deadline) {
			p.t.Fatalf("timeout waiting for %s\nthe page shows:\n%s", what, Eval[string](p, "document.body.innerText"))
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Text returns the visible text of an element, or "" if there is no such element.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return Eval[string](p, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// Screenshot writes a picture of the page to name.png in the folder PRUNELLM_SCREENSHOTS, if that variable is set.
func (p *Page) Screenshot(name string) {
	p.t.Helper()
	folder := os.Getenv("PRUNELLM_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
