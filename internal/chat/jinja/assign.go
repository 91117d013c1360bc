package jinja

import (
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// parseBlockSet reads the body of {% set name %}…{% endset %}. It is read here because gonja collects any length before a variable holds it.
func parseBlockSet(p *parser.Parser, name string) (nodes.ControlStructure, error) {
	at := p.Current()
	body, end, err := p.WrapUntil("endset")
	if err != nil {
		return nil, err
	}
	if !end.End() {
		return nil, end.Error("endset takes no arguments", nil)
	}
	set := &blockSet{generation: generation{at: at, body: body}, target: name}
	return &guardedSet{ControlStructure: set, set: set, name: name}, nil
}

// blockSet keeps in a variable what its body writes.
type blockSet struct {
	generation
	target string
}

// String implements nodes.Node.
func (s *blockSet) String() string { return "set" }

// Execute implements exec.ControlStructure.
func (s *blockSet) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b, err := budgetOf(r.Environment.Context)
	if err != nil {
		return err
	}
	var out strings.Builder
	sub := r.Inherit()
	sub.Output = &limitedWriter{out: &out, budget: b}
	if err := sub.ExecuteWrapper(s.body); err != nil {
		return err
	}
	r.Environment.Context.Set(s.target, exec.AsSafeValue(out.String()).Interface())
	return nil
}

// parseWith reads {% with a = 1, b = 2 %}…{% endwith %}. gonja's own would not tell how large the values are before its body uses them.
func parseWith(p, args *parser.Parser) (nodes.ControlStructure, error) {
	with := &withValues{generation: generation{at: p.Current()}}
	for !args.End() {
		name := args.Match(tokens.Name)
		if name == nil || args.Match(tokens.Assign) == nil {
			return nil, args.Error("with takes names and their values", args.Current())
		}
		value, err := args.ParseExpression()
		if err != nil {
			return nil, err
		}
		with.names, with.values = append(with.names, name.Val), append(with.values, value)
		if args.Match(tokens.Comma) == nil && !args.End() {
			return nil, args.Error("with takes names and their values", args.Current())
		}
	}
	body, end, err := p.WrapUntil("endwith")
	if err != nil {
		return nil, err
	}
	if !end.End() {
		return nil, end.Error("endwith takes no arguments", nil)
	}
	with.body = body
	return with, nil
}

// withValues gives its body variables of its own.
type withValues struct {
	generation
	names  []string
	values []nodes.Expression
}

// String implements nodes.Node.
func (w *withValues) String() string { return "with" }

// Execute implements exec.ControlStructure.
func (w *withValues) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b, err := stepOf(r.Environment.Context)
	if err != nil {
		return err
	}
	sub := r.Inherit()
	for i, expression := range w.values {
		value := r.Eval(expression)
		if value.IsError() {
			return value
		}
		if err := b.measure(value); err != nil {
			return err
		}
		sub.Environment.Context.Set(w.names[i], value)
	}
	return sub.ExecuteWrapper(w.body)
}
