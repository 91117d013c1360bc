package jinja

import (
	"errors"
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
	maxOperands  = 64              // of lists, dicts and calls within one tag, those that are plain text aside
	maxChain     = 8               // methods on the results of methods: gonja computes the result that each works on twice
	maxCode      = 2 << 10         // bytes of a tag, texts and white space aside; the longest of known templates has some 130
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
	if b.steps++; b.steps > maxSteps {
		return b.fail(&LimitError{What: "steps", Limit: maxSteps})
	}
	return b.check()
}

// check tells whether the rendering may go on.
func (b *budget) check() error {
	if b.failed == nil && time.Now().After(b.deadline) {
		return b.fail(&LimitError{What: "seconds", Limit: int(maxTime / time.Second)})
	}
	return b.failed
}

// enter and leave count macros that call each other: Go cannot recover from a stack that is used up.
func (b *budget) enter() error {
	if b.depth++; b.depth > maxDepth {
		return b.fail(&LimitError{What: "macro depth", Limit: maxDepth})
	}
	return b.step()
}

// measure refuses values that are too large together.
func (b *budget) measure(values ...*exec.Value) error {
	if err := measureAll(values...); err != nil {
		return b.fail(err)
	}
	return nil
}

// measureNames measures what variables hold.
func (b *budget) measureNames(context *exec.Context, names ...string) error {
	for _, name := range names {
		value, _ := context.Get(name)
		if err := b.measure(exec.ToValue(value)); err != nil {
			return err
		}
	}
	return nil
}

func budgetOf(context *exec.Context) (*budget, error) {
	value, _ := context.Get(budgetName)
	if b, ok := value.(*budget); ok {
		return b, nil
	}
	return nil, fmt.Errorf("the template has overwritten %s", budgetName)
}

// stepOf counts a step of the budget of a context.
func stepOf(context *exec.Context) (*budget, error) {
	b, err := budgetOf(context)
	if err != nil {
		return nil, err
	}
	return b, b.step()
}

// hook is a node that asks the budget when the renderer comes by.
type hook struct {
	at   *tokens.Token
	call func(*exec.Renderer, *budget) error
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
	return h.call(r, b)
}

func hookNode(at *tokens.Token, call func(*exec.Renderer, *budget) error) nodes.Node {
	return &nodes.ControlStructureBlock{Location: at, Name: "budget", ControlStructure: &hook{at: at, call: call}}
}

// guardedStructures are the tags that templates may use. Those that load other templates or call blocks are missing.
func guardedStructures() *exec.ControlStructureSet {
	guarded := map[string]parser.ControlStructureParser{
		"for":        guardFor(builtin("for")),
		"macro":      guardMacro(builtin("macro")),
		"set":        guardSet(builtin("set")),
		"if":         guardIf(builtin("if")),
		"with":       parseWith,
		"generation": parseGeneration,
	}
	for _, name := range []string{"raw", "break", "continue"} {
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
		round := hookNode(at, func(r *exec.Renderer, b *budget) error {
			if err := b.step(); err != nil {
				return err
			}
			return b.measureNames(r.Environment.Context, loop.Key, loop.Value)
		})
		loop.BodyWrapper.Nodes = append([]nodes.Node{round}, loop.BodyWrapper.Nodes...)
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
		enter := hookNode(at, func(r *exec.Renderer, b *budget) error { return enterMacro(r, b, macro) })
		leave := hookNode(at, func(_ *exec.Renderer, b *budget) error { b.depth--; return nil })
		macro.Wrapper.Nodes = append(append([]nodes.Node{enter}, macro.Wrapper.Nodes...), leave)
		return macro, nil
	}
}

// enterMacro measures what a macro was called with, and bounds what it writes.
func enterMacro(r *exec.Renderer, b *budget, macro *controlstructures.MacroControlStructure) error {
	if err := b.enter(); err != nil {
		return err
	}
	names := []string{macro.VarArgsName, macro.KwArgsName}
	for _, argument := range macro.Kwargs {
		names = append(names, r.Eval(argument.Key).String())
	}
	r.Output = &limitedWriter{out: r.Output, budget: b}
	return b.measureNames(r.Environment.Context, names...)
}

// guardIf counts conditions as steps: one may compare or join large values.
func guardIf(inner parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		parsed, err := inner(p, args)
		if err != nil {
			return nil, err
		}
		condition, ok := parsed.(*controlstructures.IfControlStructure)
		if !ok {
			return nil, fmt.Errorf("unknown if node %T", parsed)
		}
		if len(condition.Conditions) > maxNesting { // they are looked at within one step
			return nil, fmt.Errorf("an if with %d conditions, want at most %d", len(condition.Conditions), maxNesting)
		}
		return &guardedIf{condition}, nil
	}
}

type guardedIf struct {
	*controlstructures.IfControlStructure
}

// Execute implements exec.ControlStructure.
func (g *guardedIf) Execute(r *exec.Renderer, tag *nodes.ControlStructureBlock) error {
	if _, err := stepOf(r.Environment.Context); err != nil {
		return err
	}
	return g.IfControlStructure.Execute(r, tag)
}

// guardSet measures what a variable holds after each assignment, so that it can neither grow by doubling nor come to
// contain itself.
func guardSet(inner parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		name := ""
		if token := args.Current(); token != nil {
			name = token.Val
		}
		if args.Match(tokens.Name) != nil {
			if args.End() {
				return parseBlockSet(p, name)
			}
			args.Stream().Backup()
		}
		begin := p.Current()
		parsed, err := inner(p, args)
		if err != nil {
			return nil, err
		}
		if p.Current() != begin { // it has read a block, whose size nobody would see in time
			return nil, errors.New("a block can be set to a name alone")
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
	return b.measureNames(r.Environment.Context, g.name)
}

// measureAll refuses values that have more than maxOutput bytes together.
func measureAll(values ...*exec.Value) error {
	left := maxOutput
	for _, value := range values {
		if value == nil {
			continue
		}
		if err := measure(value.Val, 0, &left); err != nil {
			return err
		}
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
		if operands, code := sizeOf(tag); operands > maxOperands || code > maxCode {
			return fmt.Errorf("a tag with %d operands in %d bytes beside its texts, want at most %d in %d", operands, code, maxOperands, maxCode)
		}
		if brackets > maxNesting || joins > maxOperators {
			return fmt.Errorf("a tag with %d nested brackets and %d operators, want at most %d and %d", brackets, joins, maxNesting, maxOperators)
		}
		if chain := longestChain(tag); chain > maxChain {
			return fmt.Errorf("a tag with %d methods on each other's results, want at most %d", chain, maxChain)
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
