package pages

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "rewrite the generated tables of the pages")

const (
	architecture = "docs/understand/architecture.md"
	tableBegin   = "<!-- begin imports: from .golangci.yml, by go test ./internal/pages -run ImportTable -update -->\n"
	tableEnd     = "<!-- end imports -->"
)

// unruled are the packages without a rule: the command that wires all others, and packages that only tests and scripts use.
var unruled = []string{
	"cmd/prunellm", "internal/browsertest", "internal/e2e", "internal/e2e/fleet", "internal/e2e/pages", "internal/e2e/program", "internal/licenses", "internal/pages", "internal/polltest", "internal/tinymodel", "internal/tinymodel/shape",
	"internal/store/redis/redistest", "internal/store/storetest", "internal/xla/xlatest", "scripts/document/screenshot", "scripts/measure/fleet-sim",
}

// rule lists what depguard allows the packages of some folders to import, except in tests.
type rule struct {
	Files []string `yaml:"files"`
	Allow []string `yaml:"allow"`
}

// folders returns the folders to which the rule applies.
func (r rule) folders() (names []string) {
	for _, pattern := range r.Files {
		if name, ok := strings.CutPrefix(pattern, "**/"); ok {
			names = append(names, path.Dir(name))
		}
	}
	return names
}

// importRules returns depguard's rules in the order of .golangci.yml.
func importRules(t *testing.T) (rules []rule) {
	t.Helper()
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules yaml.Node `yaml:"rules"`
				} `yaml:"depguard"`
			} `yaml:"settings"`
		} `yaml:"linters"`
	}
	if err := yaml.Unmarshal([]byte(read(t, ".golangci.yml")), &config); err != nil {
		t.Fatal(err)
	}
	for i, node := range config.Linters.Settings.Depguard.Rules.Content {
		if i%2 == 0 {
			continue // the name of a rule
		}
		var r rule
		if err := node.Decode(&r); err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	if len(rules) < 10 {
		t.Fatalf("%d rules, want at least 10", len(rules))
	}
	return rules
}

// importTable returns the rules as a Markdown table. It omits the standard library, which all packages may import.
func importTable(rules []rule) string {
	quoted := func(names []string) string {
		var cells []string
		for _, name := range names {
			if name != "$gostd" {
				cells = append(cells, "`"+strings.TrimPrefix(name, "prunellm/")+"`")
			}
		}
		return strings.Join(cells, ", ")
	}
	var b strings.Builder
	b.WriteString("| package | may import, besides the standard library |\n|---|---|\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "| %s | %s |\n", quoted(r.folders()), quoted(r.Allow))
	}
	return b.String()
}

func TestImportTable(t *testing.T) {
	want := importTable(importRules(t))
	page := read(t, architecture)
	before, rest, begun := strings.Cut(page, tableBegin)
	got, after, ended := strings.Cut(rest, tableEnd)
	if !begun || !ended {
		t.Fatalf("%s has no table between %q and %q", architecture, tableBegin, tableEnd)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the import table of %s differs from .golangci.yml: run go test ./internal/pages -run ImportTable -update", architecture)
	}
	if err := os.WriteFile(filepath.Join(root, architecture), []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}

// TestEveryPackageHasARule finds packages without a rule, which depguard would let import anything, and rules for folders that do
// not exist.
func TestEveryPackageHasARule(t *testing.T) {
	packages := map[string]bool{}
	for _, name := range repositoryFiles(t) {
		if path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "testdata/") {
			packages[path.Dir(name)] = true
		}
	}
	ruled := map[string]bool{}
	for _, r := range importRules(t) {
		for _, folder := range r.folders() {
			ruled[folder] = true
			if !packages[folder] {
				t.Errorf(".golangci.yml has a rule for %s, which has no package", folder)
			}
		}
	}
	for folder := range packages {
		if !ruled[folder] && !slices.Contains(unruled, folder) {
			t.Errorf("%s has no rule in .golangci.yml", folder)
		}
	}
}
