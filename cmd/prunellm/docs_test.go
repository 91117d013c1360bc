package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"prunellm/internal/flags"
)

var update = flag.Bool("update", false, "rewrite docs/use/flags.md")

// flagsDocument returns the page of all commands and flags, generated from kong's model.
func flagsDocument(t *testing.T) string {
	t.Helper()
	var cli commandLine
	parser, err := newParser(&cli, "~/.cache/prunellm")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Commands and flags\n\n`go test ./cmd/prunellm -run FlagsDocument -update` writes this page; a test fails when it is stale.\n\n" +
		"Every flag has an environment variable, named beside it, and a key in the YAML file of `--config` ([configuration](configuration.md)).\n" +
		"The command line overrides the variable, and the variable overrides the file.\n\n" +
		"A command exits with status 0 on success, 1 if it failed or was interrupted, and 2 if its flags are invalid. `serve` exits with 0\n" +
		"when a signal stops it.\n\n## Flags of all commands\n\n")
	table(&b, parser.Model.Flags, parser.Model.Node)
	for _, node := range parser.Model.Children {
		if node.Hidden {
			continue
		}
		fmt.Fprintf(&b, "\n## prunellm %s\n\n%s\n\n", strings.TrimSpace(node.Summary()), node.Help)
		for _, argument := range node.Positional {
			fmt.Fprintf(&b, "`%s`: %s\n\n", argument.Name, argument.Help)
		}
		if len(node.Flags) > 0 {
			table(&b, node.Flags, node)
		}
	}
	return b.String()
}

func table(b *strings.Builder, flags []*kong.Flag, node *kong.Node) {
	b.WriteString("| flag | default | variable | |\n|---|---|---|---|\n")
	for _, f := range flags {
		if f.Hidden || f.Name == "help" {
			continue
		}
		name := "--" + f.Name
		if f.Tag.Negatable != "" {
			name = "--[no-]" + f.Name
		}
		if f.Short != 0 {
			name = fmt.Sprintf("-%c, %s", f.Short, name)
		}
		standard := ""
		switch {
		case f.HasDefault:
			standard = "`" + f.Default + "`"
		case f.Required:
			standard = "required"
		}
		variable := ""
		if len(f.Envs) > 0 {
			variable = "`" + strings.Join(f.Envs, " ") + "`"
		}
		escape := strings.NewReplacer("|", `\|`, "<", "&lt;").Replace
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, standard, variable, escape(f.Help))
	}
}

func TestFlagsDocument(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "use", "flags.md")
	want := flagsDocument(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, []byte(want)) {
		t.Errorf("docs/use/flags.md is stale (%v): run go test ./cmd/prunellm -run FlagsDocument -update", err)
	}
}

// documents returns the paths of the README and all pages.
func documents(t *testing.T) []string {
	t.Helper()
	root := filepath.Join("..", "..", "docs")
	pages := []string{filepath.Join("..", "..", "README.md")}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil || len(pages) < 4 {
		t.Fatalf("pages = %v, %v", pages, err)
	}
	return pages
}

// invocation matches prunellm at the start of a command line, or after a variable assignment or a shell operator.
var invocation = regexp.MustCompile(`(?:^|[;&|(] ?|exec |[A-Z_]+=\S* )(?:bin/)?prunellm((?: .*)?)$`)

// Every command line in a code block parses.
func TestDocumentedCommandsParse(t *testing.T) {
	found := 0
	for _, page := range documents(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for number, line := range codeLines(string(data)) {
			match := invocation.FindStringSubmatch(line)
			if match == nil || strings.ContainsAny(match[1], "`<[{…") || strings.Contains(match[1], "...") {
				continue // no command, or one with a placeholder
			}
			found++
			if err := parseLine(match[1]); err != nil {
				t.Errorf("%s:%d: %s: %v", filepath.Base(page), number, line, err)
			}
		}
	}
	if found < 5 {
		t.Errorf("the documents have %d commands, want at least 5", found)
	}
}

// codeLines returns the lines of fenced and indented code by line number, with continued lines joined.
func codeLines(text string) map[int]string {
	lines, fenced, joined, begin := map[int]string{}, false, "", 0
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		if !fenced && !strings.HasPrefix(line, "    ") {
			continue
		}
		if joined == "" {
			begin = i + 1
		}
		joined += strings.TrimSpace(line)
		if rest, ok := strings.CutSuffix(joined, `\`); ok {
			joined = rest
			continue
		}
		lines[begin], joined = joined, ""
	}
	return lines
}

// parseLine parses the rest of a line after "prunellm", up to a comment or a shell operator.
func parseLine(rest string) error {
	for _, end := range []string{" #", " >", " 2>", " |", " &", ";", ")"} {
		rest, _, _ = strings.Cut(rest, end)
	}
	args := strings.Fields(rest)
	for i := range args {
		args[i] = strings.Trim(args[i], `"'`)
	}
	var cli commandLine
	parser, err := newParser(&cli, "home", kong.Writers(io.Discard, io.Discard), flags.Exit())
	if err != nil {
		return err
	}
	_, exited, err := flags.ParseArgs(parser, args)
	if exited != nil && *exited == 0 {
		return nil // a request for help
	}
	return err
}
