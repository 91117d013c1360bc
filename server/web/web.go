// Package web holds the files of the web page at "/": a chat, a comparison of two ratios, and a chart of what each
// ratio costs and gains.
//
// The files are embedded as the browser runs them, without a build step. The server's content security policy forbids files from
// other hosts, and inline scripts and styles. The server sets their URLs and headers.
//
// # Data flow
//
// static/app.js connects the parts. api.js calls the server. markdown.js turns a model's text into elements without parsing it as
// HTML. ratio.js is the slider, card.js the cost card, chart.js the chart. marked.js is the Markdown lexer of the marked project
// (see static/marked-license.txt), as published.
package web

import (
	"embed"
	"io/fs"
)

//go:embed static
var embedded embed.FS

// Files returns the page's files in one folder. index.html is the page and refers to the others as web/NAME.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the name is a valid constant
	}
	return files
}
