package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/convert"
	"prunellm/internal/improve"
	"prunellm/internal/variant"
)

// checkTable compares the lines of a page between two marks with a table generated from code. With -update it rewrites them.
func checkTable(t *testing.T, page, name, test, table string) {
	t.Helper()
	begin := fmt.Sprintf("<!-- begin %s: go test ./internal/pages -run %s -update -->\n", name, test)
	end := fmt.Sprintf("<!-- end %s -->", name)
	text := read(t, page)
	before, rest, found := strings.Cut(text, begin)
	written, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no table of %s", page, name)
	}
	if written == table {
		return
	}
	if !*update {
		t.Fatalf("the table of %s in %s is stale: run go test ./internal/pages -run %s -update", name, page, test)
	}
	if err := os.WriteFile(filepath.Join(root, page), []byte(before+begin+table+end+after), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}

func TestStagesPage(t *testing.T) {
	var table strings.Builder
	table.WriteString("| stage | work |\n|---|---|\n")
	for _, row := range variant.Stages() {
		fmt.Fprintf(&table, "| %s | %s |\n", row.Stage, row.Work)
	}
	checkTable(t, "docs/use/troubleshooting.md", "stages", "StagesPage", table.String())
}

func TestFileTypesPage(t *testing.T) {
	var table strings.Builder
	table.WriteString("| `--file-type` | bits per weight |\n|---|---|\n")
	for _, name := range convert.FileTypes() {
		bits := "the model file's"
		if kind := convert.FileType(name); kind != convert.Keep {
			bits = fmt.Sprintf("%.4g", kind.Bits())
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", name, bits)
	}
	checkTable(t, "docs/use/models.md", "file types", "FileTypesPage", table.String())
}

func TestImprovePage(t *testing.T) {
	var table strings.Builder
	table.WriteString("| stage | its file |\n|---|---|\n")
	for _, row := range improve.Rows() {
		fmt.Fprintf(&table, "| %s | %s |\n", row.Stage, row.Work)
	}
	checkTable(t, "docs/use/improve.md", "stages of a variant", "ImprovePage", table.String())
}
