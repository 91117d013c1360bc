package chattemplate

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	controlstructures "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// Limits of a template and of what one rendering may use.
const (
	maxSource    = 256 << 10       // bytes of a template
	maxNesting   = 100             // brackets open at once, and blocks
	maxOperators = 64              // that join strings or lists, within one tag
	maxSteps     = 200_000         // loop rounds and macro calls
	maxDepth     = 32              // macros within macros, lists within lists
	maxOutput    = 8 << 20         // bytes, also of a value kept in a variable
	maxElements  = 100_000         // of a list, or of a range
	maxTime      = 2 * time.Second // for one rendering
)

const budgetName = "__budget"

// LimitError says that a template went beyond one of its limits.
type LimitError struct {
	What  string
	Limit int
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("chat template: %s beyond the limit of %d", e.What, e.Limit)
}

// budget is what one rendering may use. It belongs to the goroutine that renders.
type budget struct {
	deadline time.Time
	steps    int
	depth    int
	failed   error // the first reason to stop
}

func (b *budget) fail(err error) error {
	if b.failed == nil {
		b.failed = err
	}
	return b.failed
}

func (b *budget) step() error {
	b.steps++
	switch {
	case b.failed != nil:
		return b.failed
	case b.steps > maxSteps:
		return b.fail(&LimitError{What: "steps", Limit: maxSteps})
	case time.Now().After(b.deadline):
		return b.fail(&LimitError{What: "seconds", Limit: int(maxTime / time.Second)})
	}
	return nil
}

// enter and leave count macros that call each other: Go cannot recover from a stack that is used up.
func (b *budget) enter() error {
	if b.depth++; b.depth > maxDepth {
		return b.fail(&LimitError{What: "macro depth", Limit: maxDepth})
	}
	return b.step()
}

func (b *budget) leave() error {
	b.depth--
	return nil
}

func budgetOf(context *exec.Context) (*budget, error) {
	value, _ := context.Get(budgetName)
	if b, ok := value.(*budget); ok {
		return b, nil
	}
	return nil, fmt.Errorf("the template has overwritten %s", budgetName)
}

// hook is a node that calls a method of the budget when the renderer comes by.
type hook struct {
	at   *tokens.Token
	call func(*budget) error
}

// Position implements nodes.Node.
func (h *hook) Position() *tokens.Token { return h.at }

// String implements nodes.Node.
func (h *hook) String() string { return "budget" }

// Execute implements exec.ControlStructure.
func (h *hook) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b, err := budgetOf(r.Environment.Context)
	if err != nil {
		return err
	}
	return h.call(b)
}

func hookNode(at *tokens.Token, call func(*budget) error) nodes.Node {
	return &nodes.ControlStructureBlock{Location: at, Name: "budget", ControlStructure: &hook{at: at, call: call}}
}

// guardedStructures are the tags that templates may use. Those that load other templates or call blocks are missing.
func guardedStructures() *exec.ControlStructureSet {
	guarded := map[string]parser.ControlStructureParser{
		"for":        guardFor(builtin("for")),
		"macro":      guardMacro(builtin("macro")),
		"set":        guardSet(builtin("set")),
		"generation": parseGeneration,
	}
	for _, name := range []string{"if", "raw", "with", "break", "continue"} {
		guarded[name] = builtin(name)
	}
	return exec.NewControlStructureSet(guarded)
}

func builtin(name string) parser.ControlStructureParser {
	structure, _ := builtins.ControlStructures.Get(name)
	return structure
}

func guardFor(inner parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		at := p.Current()
		parsed, err := inner(p, args)
		if err != nil {
			return nil, err
		}
		loop, ok := parsed.(*controlstructures.ForControlStructure)
		if !ok || loop.Recursive {
			return nil, fmt.Errorf("recursive loops are not supported")
		}
		loop.BodyWrapper.Nodes = append([]nodes.Node{hookNode(at, (*budget).step)}, loop.BodyWrapper.Nodes...)
		return loop, nil
	}
}

func guardMacro(inner parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		at := p.Current()
		parsed, err := inner(p, args)
		if err != nil {
			return nil, err
		}
		macro, ok := parsed.(*controlstructures.MacroControlStructure)
		if !ok {
			return nil, fmt.Errorf("unknown macro node %T", parsed)
		}
		body := append([]nodes.Node{hookNode(at, (*budget).enter)}, macro.Wrapper.Nodes...)
		macro.Wrapper.Nodes = append(body, hookNode(at, (*budget).leave))
		return macro, nil
	}
}

// guardSet measures what a variable holds after each assignment, so that it can neither grow by doubling nor come to
// contain itself.
func guardSet(inner parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		name := ""
		if token := args.Current(); token != nil {
			name = token.Val
		}
		parsed, err := inner(p, args)
		if err != nil {
			return nil, err
		}
		set, ok := parsed.(exec.ControlStructure)
		if !ok {
			return nil, fmt.Errorf("unknown set node %T", parsed)
		}
		return &guardedSet{ControlStructure: parsed, set: set, name: name}, nil
	}
}

type guardedSet struct {
	nodes.ControlStructure
	set  exec.ControlStructure
	name string
}

// Execute implements exec.ControlStructure.
func (g *guardedSet) Execute(r *exec.Renderer, tag *nodes.ControlStructureBlock) error {
	b, err := budgetOf(r.Environment.Context)
	if err != nil {
		return err
	}
	if err := b.step(); err != nil {
		return err
	}
	if err := g.set.Execute(r, tag); err != nil {
		return err
	}
	if g.name == budgetName {
		return fmt.Errorf("%s cannot be set", budgetName)
	}
	value, _ := r.Environment.Context.Get(g.name)
	left := maxOutput
	if err := measure(reflect.ValueOf(value), 0, &left); err != nil {
		return b.fail(err)
	}
	return nil
}

// measure takes the bytes of a value off left; every element counts at least one.
func measure(value reflect.Value, depth int, left *int) error {
	if depth > maxDepth {
		return &LimitError{What: "nesting of a value", Limit: maxDepth}
	}
	*left--
	switch value.Kind() {
	case reflect.String:
		*left -= value.Len()
	case reflect.Interface, reflect.Pointer:
		if inner, ok := value.Interface().(*exec.Value); ok && inner != nil {
			return measure(inner.Val, depth+1, left)
		}
		if dict, ok := value.Interface().(*exec.Dict); ok && dict != nil {
			return measureDict(dict, depth, left)
		}
		if value.Kind() == reflect.Interface {
			return measure(value.Elem(), depth, left)
		}
	case reflect.Slice, reflect.Array:
		if value.Len() > maxElements {
			return &LimitError{What: "elements of a list", Limit: maxElements}
		}
		for i := range value.Len() {
			if err := measure(value.Index(i), depth+1, left); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entries := value.MapRange(); entries.Next(); {
			if err := measure(entries.Value(), depth+1, left); err != nil {
				return err
			}
		}
	}
	if *left < 0 {
		return &LimitError{What: "size of a value", Limit: maxOutput}
	}
	return nil
}

func measureDict(dict *exec.Dict, depth int, left *int) error {
	for _, pair := range dict.Pairs {
		if pair.Value == nil {
			continue
		}
		if err := measure(pair.Value.Val, depth+1, left); err != nil {
			return err
		}
	}
	return nil
}

// parseGeneration reads {% generation %}…{% endgeneration %}, by which templates mark the model's own words for training.
func parseGeneration(p, args *parser.Parser) (nodes.ControlStructure, error) {
	at := p.Current()
	if !args.End() {
		return nil, args.Error("generation takes no arguments", nil)
	}
	body, end, err := p.WrapUntil("endgeneration")
	if err != nil {
		return nil, err
	}
	if !end.End() {
		return nil, end.Error("endgeneration takes no arguments", nil)
	}
	return &generation{at: at, body: body}, nil
}

type generation struct {
	at   *tokens.Token
	body *nodes.Wrapper
}

// Position implements nodes.Node.
func (g *generation) Position() *tokens.Token { return g.at }

// String implements nodes.Node.
func (g *generation) String() string { return "generation" }

// Execute implements exec.ControlStructure.
func (g *generation) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(g.body)
}

// check refuses sources that could use up the parser's stack, or memory within one expression.
func check(source string) error {
	if len(source) > maxSource {
		return fmt.Errorf("the source has %d bytes, want at most %d", len(source), maxSource)
	}
	blocks := strings.Count(source, "{%")
	open, deepest := 0, 0
	for _, tag := range tagsOf(source) {
		brackets, joins, err := checkTag(tag)
		if err != nil {
			return err
		}
		if brackets > maxNesting || joins > maxOperators {
			return fmt.Errorf("a tag with %d nested brackets and %d operators, want at most %d and %d", brackets, joins, maxNesting, maxOperators)
		}
		word := strings.TrimLeft(strings.TrimLeft(tag, "{%-+"), " \t\r\n")
		switch {
		case strings.HasPrefix(word, "end"):
			open = max(open-1, 0)
		case strings.HasPrefix(word, "if"), strings.HasPrefix(word, "for"), strings.HasPrefix(word, "macro"), strings.HasPrefix(word, "with"):
			open++
		}
		deepest = max(deepest, open)
	}
	if deepest > maxNesting || blocks > maxSource/8 {
		return fmt.Errorf("%d nested blocks, want at most %d", deepest, maxNesting)
	}
	return nil
}
