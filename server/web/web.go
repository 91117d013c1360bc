// Package web holds the files of the web page that the server shows at "/": a chat, a comparison of two ratios, and a
// chart of what each ratio costs and wins.
//
// It is what a browser runs, embedded as it is: no build step, nothing loaded from elsewhere, no inline script or style
// (the server forbids them by its content security policy). The server gives the files their URLs and headers.
//
// # Data flow
//
// static/app.js connects the parts: api.js speaks to the server, markdown.js turns a model's text into elements without
// ever reading it as HTML, ratio.js is the slider, card.js the cost card, chart.js the chart. marked.js is the Markdown
// lexer of the marked project (see static/marked-license.txt), as published.
package web

import (
	"embed"
	"io/fs"
)

//go:embed static
var embedded embed.FS

// Files are the page's files, all in one folder; index.html is the page itself and refers to the others as web/NAME.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	return files
}
