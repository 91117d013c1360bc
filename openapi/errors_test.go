package openapi

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCodesAreComplete compares the constants of errors.go with the table.
func TestCodesAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Code") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			constants = append(constants, value)
		}
		return true
	})
	var rows []string
	for _, code := range Codes() {
		rows = append(rows, code.Name)
		if code.Cause == "" || code.Remedy == "" || strings.ContainsRune(code.Cause+code.Remedy, '|') {
			t.Errorf("%s has cause %q and remedy %q", code.Name, code.Cause, code.Remedy)
		}
	}
	if !slices.Equal(constants, rows) {
		t.Errorf("Codes() lists %v, but the constants are %v", rows, constants)
	}
	if !slices.IsSortedFunc(Codes(), func(a, b Code) int { return cmp.Compare(a.Status, b.Status) }) {
		t.Error("Codes() is not sorted by status")
	}
}

// TestErrorsPage checks that the table of docs/use/errors.md equals Codes.
func TestErrorsPage(t *testing.T) {
	const path = "../docs/use/errors.md"
	begin, end := []byte("<!-- codes: go test ./openapi -run ErrorsPage -update -->\n"), []byte("<!-- end of codes -->\n")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(page, begin)
	written, after, ended := bytes.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no table of codes", path)
	}
	want := []byte("| status | code | cause | remedy |\n|---|---|---|---|\n")
	for _, code := range Codes() {
		want = fmt.Appendf(want, "| %d | `%s` | %s | %s |\n", code.Status, code.Name, code.Cause, code.Remedy)
	}
	if *update {
		if err := os.WriteFile(path, slices.Concat(before, begin, want, end, after), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	} else if !bytes.Equal(written, want) {
		t.Errorf("the table of codes in %s is stale: run go test ./openapi -run ErrorsPage -update", path)
	}
}

func TestErrorStatus(t *testing.T) {
	for _, code := range Codes() {
		if got := NewError(TypeServer, "", code.Name, "x").Status(); got != code.Status {
			t.Errorf("Status() of %s = %d, want %d", code.Name, got, code.Status)
		}
	}
	for _, unlisted := range []string{"", "unlisted"} {
		if got := NewError(TypeServer, "", unlisted, "x").Status(); got != 500 {
			t.Errorf("Status() of code %q = %d, want 500", unlisted, got)
		}
	}
}
