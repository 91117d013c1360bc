package pages

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

const decisionFolder = "docs/understand/decisions/"

// decisionNumbers returns the file of each decision by its number of four digits.
func decisionNumbers(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, page := range markdown(t) {
		name, ok := strings.CutPrefix(page, decisionFolder)
		if !ok || name == "README.md" {
			continue
		}
		number := name[:min(4, len(name))]
		if other := files[number]; other != "" {
			t.Errorf("decisions %s and %s have the same number", other, name)
		}
		files[number] = name
		if !strings.HasPrefix(read(t, page), "# "+number+": ") {
			t.Errorf("%s: the title does not begin with %s", page, number)
		}
	}
	return files
}

var mentionedDecision = regexp.MustCompile(`[Dd]ecisions? ?\(?(\d{4})\b`)

// TestDecisions checks that numbers are unique, and that each number to which a file refers exists.
func TestDecisions(t *testing.T) {
	numbers := decisionNumbers(t)
	if len(numbers) < 10 {
		t.Fatalf("%d decisions, want at least 10", len(numbers))
	}
	for _, name := range repositoryFiles(t) {
		switch path.Ext(name) {
		case ".go", ".c", ".h", ".md", ".patch", "":
		default:
			continue
		}
		for _, match := range mentionedDecision.FindAllStringSubmatch(read(t, name), -1) {
			if numbers[match[1]] == "" {
				t.Errorf("%s refers to decision %s, which does not exist", name, match[1])
			}
		}
	}
}
