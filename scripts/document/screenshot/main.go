// Command screenshot asks a question on the web page of a running server, and saves a picture of the page with the answer.
//
//	go run ./scripts/document/screenshot -url http://127.0.0.1:8080 -o docs/use/web-page.png
//
// scripts/document/pictures starts a server and runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const patience = 5 * time.Minute

func main() {
	log.SetFlags(0)
	log.SetPrefix("screenshot: ")
	address := flag.String("url", "http://127.0.0.1:8080", "the server")
	output := flag.String("o", "docs/use/web-page.png", "the PNG file to write")
	prompt := flag.String("prompt", "What is a river delta? Answer in three sentences.", "the message to send")
	browser := flag.String("browser", "chromium-headless-shell", "the Chromium to run")
	flag.Parse()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := save(ctx, *browser, *address, *prompt, *output); err != nil {
		log.Fatal(err)
	}
}

// save opens the page, sends the prompt, waits for the answer and the cost card, and writes the picture.
func save(ctx context.Context, browser, address, prompt, output string) error {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))
	allocator, stopAllocator := chromedp.NewExecAllocator(ctx, options...)
	defer stopAllocator()
	page, stopPage := chromedp.NewContext(allocator)
	defer stopPage()
	if err := chromedp.Do(page, chromedp.EmulateViewport(1120, 700), chromedp.Navigate(address+"/")); err != nil {
		return fmt.Errorf("open %s: %w", address, err)
	}
	steps := []struct{ what, condition, keys string }{
		{"the server to be ready", `document.querySelector("#model").textContent !== "" && document.querySelector("#state").hidden`, prompt + kb.Enter},
		{"an answer", `document.querySelector(".turn.assistant[aria-busy=false]")`, ""},
		{"the cost card", `document.querySelector("#card").innerText.includes("Same next token")`, ""},
	}
	for _, step := range steps {
		if err := await(page, step.condition); err != nil {
			return fmt.Errorf("wait for %s: %w", step.what, err)
		}
		if step.keys == "" {
			continue
		}
		if err := chromedp.Do(page, chromedp.Focus(chromedp.CSS("#prompt")), chromedp.KeyEvent(step.keys)); err != nil {
			return fmt.Errorf("send the prompt: %w", err)
		}
	}
	picture, err := chromedp.Run(page, chromedp.FullScreenshot(100))
	if err != nil {
		return fmt.Errorf("take the picture: %w", err)
	}
	return os.WriteFile(output, picture, 0o644) //nolint:gosec // a document
}

// await polls a JavaScript condition until it holds or ctx ends.
func await(ctx context.Context, condition string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
		if err != nil {
			return err
		}
		if holds {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
