package server

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"prunellm/openapi"
)

// checkCode compares the code and status of an error response with the list of codes.
func checkCode(t *testing.T, got reply) {
	t.Helper()
	if got.status < 400 {
		return
	}
	var body openapi.ErrorBody
	if err := json.Unmarshal(got.body, &body); err != nil || body.Error == nil || body.Error.Code == nil {
		t.Errorf("error response %d has body %q, want an error object with a code", got.status, got.body)
		return
	}
	known := slices.ContainsFunc(openapi.Codes(), func(c openapi.Code) bool { return c.Name == *body.Error.Code && c.Status == got.status })
	if !known {
		t.Errorf("error response %d has code %q, which openapi.Codes does not list", got.status, *body.Error.Code)
	}
}

// codeArgument maps functions and methods (with a dot) that make errors to the position of their argument for the code.
var codeArgument = map[string]int{
	"NewError": 2, ".NewError": 2, "Invalid": 1, ".Invalid": 1, "refuse": 1, ".refuse": 1, "unavailable": 1, "invalid": 1, "refusedBy": 2,
}

// TestCodesAreConstants finds codes that are string literals instead of constants of the list.
func TestCodesAreConstants(t *testing.T) {
	found := 0
	for _, folder := range []string{".", "../openapi"} {
		notTest := func(info fs.FileInfo) bool { return !strings.HasSuffix(info.Name(), "_test.go") }
		packages, err := parser.ParseDir(token.NewFileSet(), folder, notTest, 0) //nolint:staticcheck // no types are needed
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packages {
			ast.Inspect(p, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				name := ""
				switch f := call.Fun.(type) {
				case *ast.Ident:
					name = f.Name
				case *ast.SelectorExpr:
					name = "." + f.Sel.Name
				}
				if i, ok := codeArgument[name]; ok && i < len(call.Args) {
					found++
					if text, ok := call.Args[i].(*ast.BasicLit); ok {
						t.Errorf("%s is called with the code %s, want a constant of openapi", name, text.Value)
					}
				}
				return true
			})
		}
	}
	if found < 50 {
		t.Errorf("%d calls found, want many more", found)
	}
}

// An internal error names the request id, and the log has the cause with that id.
func TestInternalErrorNamesTheRequest(t *testing.T) {
	fake := newFake()
	fake.acquire = func(context.Context, openapi.ModelName) error { panic("no models today") }
	s := serve(t, fake)
	got := s.post("/v1/chat/completions", `{"messages": [{"role": "user", "content": "x"}]}`)
	checkInternal(t, got.status, got.body, got.header.Get(headerRequestID), s.log.String(), "no models today")
}

func TestPanicOutsideTheHandlers(t *testing.T) {
	log := &syncBuffer{}
	s := &Server{log: slog.New(slog.NewTextHandler(log, nil))}
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.Header.SetMethod(http.MethodGet)
	s.outermost(func(*fasthttp.RequestCtx) { panic("fiber is broken") })(ctx)
	checkInternal(t, ctx.Response.StatusCode(), ctx.Response.Body(), string(ctx.Response.Header.Peek(headerRequestID)), log.String(), "fiber is broken")
}

func checkInternal(t *testing.T, status int, body []byte, id, log, cause string) {
	t.Helper()
	var got openapi.ErrorBody
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if want := "internal error; see the server log for request id " + id; status != 500 || id == "" || got.Error.Message != want {
		t.Errorf("response = %d, %q, want 500, %q", status, got.Error.Message, want)
	}
	logged := slices.ContainsFunc(strings.Split(log, "\n"), func(line string) bool {
		return strings.Contains(line, "level=ERROR") && strings.Contains(line, id) && strings.Contains(line, cause)
	})
	if !logged {
		t.Errorf("the log has no error with request id %s and cause %q:\n%s", id, cause, log)
	}
}
