package jinja

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// newEnvironment has what templates of language models use. Left out are functions that pad, repeat or format to any
// length, that change their argument in place, or that are random.
func newEnvironment() *exec.Environment {
	namespace, _ := builtins.GlobalFunctions.Get("namespace")
	dict, _ := builtins.GlobalFunctions.Get("dict")
	return &exec.Environment{
		Context: exec.NewContext(map[string]any{
			"namespace": namespace,
			"dict":      dict,
			"range":     boundedRange,
		}),
		Filters:           filters(),
		Tests:             builtins.Tests,
		ControlStructures: guardedStructures(),
		Methods:           methods(),
	}
}

func filters() *exec.FilterSet {
	set := map[string]exec.FilterFunction{"tojson": toJSON}
	for _, name := range []string{
		"abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last", "length",
		"list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "safe", "select", "selectattr",
		"sort", "string", "sum", "title", "trim", "unique", "upper",
	} {
		set[name], _ = builtins.Filters.Get(name)
	}
	for _, name := range []string{"join", "replace"} {
		filter, _ := builtins.Filters.Get(name)
		set[name] = func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
			if err := checkGrowth(in, params); err != nil {
				return exec.AsValue(err)
			}
			return filter(e, in, params)
		}
	}
	for name, filter := range set {
		set[name] = boundedFilter(filter)
	}
	return exec.NewFilterSet(set)
}

// boundedFilter counts a filter as a step, and gives it no more than may be kept in a variable.
func boundedFilter(filter exec.FilterFunction) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
		b, err := stepOf(e.Environment.Context)
		if err == nil {
			err = b.measure(operands(in, params)...)
		}
		if err != nil {
			return exec.AsValue(err)
		}
		return filter(e, in, params)
	}
}

// operands are all values that a filter or method works on.
func operands(in *exec.Value, params *exec.VarArgs) []*exec.Value {
	values := append([]*exec.Value{in}, params.Args...)
	for _, value := range params.KwArgs {
		values = append(values, value)
	}
	return values
}

// boundedMethod gives a method no more than may be kept in a variable.
func boundedMethod[I any](method exec.Method[I]) exec.Method[I] {
	return func(self I, value *exec.Value, params *exec.VarArgs) (any, error) {
		if err := measureAll(operands(value, params)...); err != nil {
			return nil, err
		}
		return method(self, value, params)
	}
}

func methods() exec.Methods {
	strs := keep(builtins.Methods.Str,
		"capitalize", "count", "endswith", "find", "isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper", "lower",
		"lstrip", "removeprefix", "removesuffix", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper")
	join, _ := builtins.Methods.Str.Get("join")
	strs["join"] = boundedMethod(func(self string, value *exec.Value, params *exec.VarArgs) (any, error) {
		if err := checkGrowth(value, params); err != nil {
			return nil, err
		}
		return join(self, value, params)
	})
	strs["replace"] = boundedMethod(replace)
	return exec.Methods{
		Bool:  exec.NewMethodSet(map[string]exec.Method[bool]{}),
		Int:   exec.NewMethodSet(map[string]exec.Method[int]{}),
		Float: exec.NewMethodSet(map[string]exec.Method[float64]{}),
		Str:   exec.NewMethodSet(strs),
		Dict:  exec.NewMethodSet(keep(builtins.Methods.Dict, "get", "items", "keys", "values")),
		List:  exec.NewMethodSet(map[string]exec.Method[[]any]{}),
	}
}

func keep[I any](from *exec.MethodSet[I], names ...string) map[string]exec.Method[I] {
	out := map[string]exec.Method[I]{}
	for _, name := range names {
		method, _ := from.Get(name)
		out[name] = boundedMethod(method)
	}
	return out
}

// checkGrowth bounds what join and replace can make: no more than every character of the longest operand replaced by,
// or joined with, the next.
func checkGrowth(in *exec.Value, params *exec.VarArgs) error {
	size := len(in.String())
	for _, arg := range params.Args {
		length := len(arg.String())
		if length > 1 && size > maxOutput/length {
			return &LimitError{What: "size of a value", Limit: maxOutput}
		}
	}
	return nil
}

// replace is Python's str.replace; gonja's asks for a count.
func replace(self string, value *exec.Value, params *exec.VarArgs) (any, error) {
	if err := checkGrowth(value, params); err != nil {
		return nil, err
	}
	count := -1
	switch len(params.Args) {
	case 2:
	case 3:
		count = params.Args[2].Integer()
	default:
		return nil, fmt.Errorf("replace takes 2 or 3 arguments, not %d", len(params.Args))
	}
	return strings.Replace(self, params.Args[0].String(), params.Args[1].String(), count), nil
}

// boundedRange is Jinja's range for at most maxElements numbers. gonja's own hangs on to a goroutine when a loop breaks.
func boundedRange(args ...int) ([]int, error) {
	start, stop, step := 0, 0, 1
	switch len(args) {
	case 1:
		stop = args[0]
	case 2:
		start, stop = args[0], args[1]
	case 3:
		start, stop, step = args[0], args[1], args[2]
	default:
		return nil, fmt.Errorf("range takes 1 to 3 numbers, not %d", len(args))
	}
	if step == 0 {
		return nil, errors.New("range by steps of 0")
	}
	var out []int
	for i := start; (step > 0 && i < stop) || (step < 0 && i > stop); i += step {
		if len(out) == maxElements {
			return nil, &LimitError{What: "range", Limit: maxElements}
		}
		out = append(out, i)
	}
	return out, nil
}

// toJSON is tojson as transformers has it: Python's spacing, order kept, nothing escaped for HTML.
func toJSON(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	indent := -1
	if value, ok := params.KwArgs["indent"]; ok && value.IsInteger() {
		indent = min(max(value.Integer(), 0), 16)
	} else if len(params.Args) > 0 && params.Args[0].IsInteger() {
		indent = min(max(params.Args[0].Integer(), 0), 16)
	}
	var out strings.Builder
	if err := writePython(&out, in, indent, 0); err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(out.String())
}
