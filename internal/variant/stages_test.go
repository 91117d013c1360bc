package variant_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"prunellm/internal/variant"
)

// TestStagesAreComplete compares the constants of progress.go with the rows of Stages.
func TestStagesAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "progress.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants, rows []string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Values) == 1 && strings.HasPrefix(spec.Names[0].Name, "Stage") {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			constants = append(constants, text)
		}
		return true
	})
	for _, row := range variant.Stages() {
		rows = append(rows, string(row.Stage))
		if row.Work == "" || strings.HasSuffix(row.Work, ".") {
			t.Errorf("stage %q has the description %q, want one without a final period", row.Stage, row.Work)
		}
	}
	slices.Sort(constants)
	slices.Sort(rows)
	if !slices.Equal(constants, rows) {
		t.Errorf("Stages() lists %q, but the constants are %q", rows, constants)
	}
}
