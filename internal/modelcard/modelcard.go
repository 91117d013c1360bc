// Package modelcard writes the README.md of a pruned model's safetensors folder, which is the page that a model hub
// shows. It only renders facts, which the caller measures.
package modelcard

import (
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"prunellm/convert"
	"prunellm/internal/variant"
)

// FileName is the name of the page in the folder.
const FileName = "README.md"

// Facts holds everything that the page says.
type Facts struct {
	Provenance convert.Provenance
	Built      variant.Built
	// Card compares the variant's quality with the dense model's. It is nil if the quality was not measured.
	Card *variant.Card
	// License and BaseModel come from the dense model, and are "" if the model does not state them. BaseModel is a
	// repository, "owner/name".
	License, BaseModel string
	Type               string // type of the tensors, such as "f16"
	PerLayer           bool   // whether layers have different MLP widths
}

//go:embed modelcard.md.tmpl
var page string

var pageTemplate = template.Must(template.New(FileName).Funcs(template.FuncMap{
	"percent": func(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + "%" },
	"times":   func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) + "x" },
	"figure":  func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) },
	"million": func(n int64) string { return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) },
	"plain":   plain,
}).Parse(page))

// Write renders the page.
func Write(w io.Writer, facts Facts) error {
	facts.License, facts.BaseModel = identifier(facts.License), repository(facts.BaseModel)
	if err := pageTemplate.Execute(w, facts); err != nil {
		return fmt.Errorf("model card: %w", err)
	}
	return nil
}

const maxName = 200 // bytes of a name on the page

// plain makes text from a file safe for Markdown: it returns one line without characters that could end code or begin
// HTML.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune("`<>|\\", r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	return text[:min(len(text), maxName)]
}

var (
	identifierPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$`)
	repositoryPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)
)

// identifier returns a license identifier as a hub spells it, or "" for any other text.
func identifier(license string) string {
	if !identifierPattern.MatchString(license) {
		return ""
	}
	return strings.ToLower(license)
}

func repository(name string) string {
	name = strings.TrimPrefix(name, "https://huggingface.co/")
	if !repositoryPattern.MatchString(name) {
		return ""
	}
	return name
}
