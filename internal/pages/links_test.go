package pages

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = "../.."

// repositoryFiles returns the paths of all files below the root, with slashes and without leading "./". It omits build outputs
// and git's own files.
func repositoryFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "bin", "dist", "shared"}, name) {
			return fs.SkipDir
		}
		if entry.Type().IsRegular() {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.+)$`)
	code    = regexp.MustCompile("`[^`]*`")
)

// prose returns the lines of a page without its fenced blocks.
func prose(text string) (lines []string) {
	fenced := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		} else if !fenced {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

// links returns the targets of a page's relative links.
func links(text string) (targets []string) {
	for _, line := range prose(text) {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
			if !strings.Contains(match[1], "://") && !strings.HasPrefix(match[1], "mailto:") {
				targets = append(targets, match[1])
			}
		}
	}
	return targets
}

// anchors returns the anchors that GitHub gives to a page's headings: in lower case, with dashes for spaces and without other
// punctuation.
func anchors(text string) (names []string) {
	for _, line := range prose(text) {
		match := heading.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		title := link.ReplaceAllString(strings.ToLower(match[1]), "]")
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return r
			}
			return -1
		}, title))
	}
	return names
}

// TestLinks follows every relative link of every page, with its anchor.
func TestLinks(t *testing.T) {
	for _, page := range markdown(t) {
		for _, target := range links(read(t, page)) {
			file, anchor, _ := strings.Cut(target, "#")
			to := page
			if file != "" {
				to = path.Join(path.Dir(page), file)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: link to %s: no such file", page, target)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, to)), anchor) {
				t.Errorf("%s: link to %s: %s has no such heading", page, target, to)
			}
		}
	}
}

func markdown(t *testing.T) (pages []string) {
	t.Helper()
	for _, name := range repositoryFiles(t) {
		if path.Ext(name) == ".md" && !strings.Contains(name, "testdata/") {
			pages = append(pages, name)
		}
	}
	if len(pages) < 10 {
		t.Fatalf("pages = %v, want at least 10", pages)
	}
	return pages
}

// linkedPages returns the Markdown pages to which a page links. A link to a folder means its README.md.
func linkedPages(t *testing.T, page string) (pages []string) {
	for _, target := range links(read(t, page)) {
		file, _, _ := strings.Cut(target, "#")
		if file == "" {
			continue
		}
		to := path.Join(path.Dir(page), file)
		if info, err := os.Stat(filepath.Join(root, to)); err == nil && info.IsDir() {
			to = path.Join(to, "README.md")
		}
		if _, err := os.Stat(filepath.Join(root, to)); err == nil && path.Ext(to) == ".md" {
			pages = append(pages, to)
		}
	}
	return pages
}

// TestEveryPageIsLinked starts at the README and follows links to every page. The index of docs must link every page below docs,
// except the decisions, which have their own index.
func TestEveryPageIsLinked(t *testing.T) {
	reached := map[string]bool{}
	queue := []string{"README.md"}
	for len(queue) > 0 {
		page := queue[0]
		queue = queue[1:]
		if reached[page] {
			continue
		}
		reached[page] = true
		queue = append(queue, linkedPages(t, page)...)
	}
	index, decisions := linkedPages(t, "docs/README.md"), linkedPages(t, "docs/understand/decisions/README.md")
	for _, page := range markdown(t) {
		if !reached[page] {
			t.Errorf("%s: no page links to it", page)
		}
		switch {
		case page == "docs/README.md" || !strings.HasPrefix(page, "docs/"):
		case strings.HasPrefix(page, "docs/understand/decisions/0"):
			if !slices.Contains(decisions, page) {
				t.Errorf("docs/understand/decisions/README.md does not link to %s", page)
			}
		case !slices.Contains(index, page):
			t.Errorf("docs/README.md does not link to %s", page)
		}
	}
}

var mention = regexp.MustCompile(`(?:^|[^\w/.-])(docs/[\w/.-]+\.(?:md|svg|png|jsonl))`)

// TestMentionedPagesExist checks the pages to which code, scripts and manifests refer by their path from the root.
func TestMentionedPagesExist(t *testing.T) {
	for _, name := range repositoryFiles(t) {
		if !slices.Contains([]string{".go", ".c", ".h", ".md", ".py", ".yml", ".yaml", ".cmake", ".patch", ""}, path.Ext(name)) || strings.HasPrefix(name, "docs/history/") {
			continue
		}
		for _, match := range mention.FindAllStringSubmatch(read(t, name), -1) {
			if strings.HasPrefix(match[1], "docs/gguf.md") { // a page of the ggml project
				continue
			}
			if _, err := os.Stat(filepath.Join(root, match[1])); err != nil {
				t.Errorf("%s refers to %s, which does not exist", name, match[1])
			}
		}
	}
}

// TestBenchmarksAreShort bounds the page of results, which has only results and commands. Explanations and superseded tables
// belong on other pages.
func TestBenchmarksAreShort(t *testing.T) {
	if lines := strings.Count(read(t, "docs/measured/benchmarks.md"), "\n"); lines > 150 {
		t.Errorf("docs/measured/benchmarks.md has %d lines, want at most 150: move explanations to understand or history", lines)
	}
}
