package jinja

import (
	"fmt"
	"slices"
)

// parser builds statements from tokens.
type parser struct {
	env    *environment
	tokens []token
	at     int
	depth  int               // of nested blocks and expressions
	names  []map[string]bool // names that each open macro reads
	soft   int               // number of open ifs; within them an unknown filter or test is an error only if it is evaluated
}

// parse parses a source into statements.
func parse(env *environment, source string) ([]statement, error) {
	tokens, err := tokenize(source)
	if err != nil {
		return nil, err
	}
	p := &parser{env: env, tokens: tokens}
	body, err := p.statements()
	if err != nil {
		return nil, err
	}
	if p.current().kind != tokenEnd {
		return nil, p.fail("encountered unknown tag %s", p.current().describe())
	}
	return body, nil
}

func (p *parser) current() token { return p.tokens[p.at] }

func (p *parser) peek() token { return p.tokens[min(p.at+1, len(p.tokens)-1)] }

// take returns the current token and moves to the next one. It stays at the end of the source.
func (p *parser) take() token {
	t := p.current()
	p.at = min(p.at+1, len(p.tokens)-1)
	return t
}

func (p *parser) fail(format string, arguments ...any) error {
	return fmt.Errorf("line %d: %s", p.current().line, fmt.Sprintf(format, arguments...))
}

// enter counts the beginning of a nested block or expression; leave counts its end.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxParse {
		return &LimitError{What: "nesting", Limit: maxParse}
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) is(kind kind, text string) bool {
	t := p.current()
	return t.kind == kind && t.text == text
}

func (p *parser) isOperator(operators ...string) bool {
	return p.current().kind == tokenOperator && slices.Contains(operators, p.current().text)
}

func (p *parser) isName(names ...string) bool {
	return p.current().kind == tokenName && slices.Contains(names, p.current().text)
}

// skip takes the current token if it has that kind and text, and reports whether it did.
func (p *parser) skip(kind kind, text string) bool {
	if p.is(kind, text) {
		p.take()
		return true
	}
	return false
}

func (p *parser) expect(kind kind, text string) error {
	if !p.skip(kind, text) {
		want := token{kind: kind, text: text}
		return p.fail("expected %s, got %s", want.describe(), p.current().describe())
	}
	return nil
}

func (p *parser) expectName() (string, error) {
	if p.current().kind != tokenName {
		return "", p.fail("expected a name, got %s", p.current().describe())
	}
	return p.take().text, nil
}

// statements parses up to the end of the source, or up to a tag whose name is in ends. The name is then the current
// token.
func (p *parser) statements(ends ...string) ([]statement, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var body []statement
	for {
		at := line(p.current().line)
		switch t := p.take(); t.kind {
		case tokenEnd:
			if len(ends) > 0 {
				return nil, p.fail("unexpected end of template; %q is missing", ends[len(ends)-1])
			}
			return body, nil
		case tokenData:
			body = append(body, &dataNode{line: at, text: t.text})
		case tokenVariableBegin:
			value, err := p.tuple(true)
			if err != nil {
				return nil, err
			}
			if err := p.expect(tokenVariableEnd, ""); err != nil {
				return nil, err
			}
			body = append(body, &outputNode{line: at, value: value})
		case tokenBlockBegin:
			if p.isName(ends...) {
				return body, nil
			}
			node, err := p.statement(at)
			if err != nil {
				return nil, err
			}
			if err := p.expect(tokenBlockEnd, ""); err != nil {
				return nil, err
			}
			body = append(body, node)
		}
	}
}

// block parses the end of a tag and the body up to a tag in ends.
func (p *parser) block(ends ...string) ([]statement, error) {
	p.skip(tokenOperator, ":")
	if err := p.expect(tokenBlockEnd, ""); err != nil {
		return nil, err
	}
	return p.statements(ends...)
}

// closed is like block for a tag that has only one possible end. It also takes the name of that end.
func (p *parser) closed(end string) ([]statement, error) {
	body, err := p.block(end)
	p.take()
	return body, err
}

func (p *parser) statement(at line) (statement, error) {
	name, err := p.expectName()
	if err != nil {
		return nil, err
	}
	switch name {
	case "if":
		return p.ifStatement(at)
	case "for":
		return p.forStatement(at)
	case "set":
		return p.setStatement(at)
	case "macro":
		return p.macroStatement(at)
	case "call":
		return p.callStatement(at)
	case "filter":
		return p.filterStatement(at)
	case "with":
		return p.withStatement(at)
	case "generation":
		body, err := p.closed("endgeneration")
		return &scopeNode{line: at, body: body}, err
	case "block":
		return p.blockStatement(at)
	case "print":
		values, err := p.tuple(true)
		if several, ok := values.(*listExpression); ok && several.tuple {
			values = &concatExpression{operands: several.items}
		}
		return &outputNode{line: at, value: values}, err
	case "break":
		return &breakNode{at}, nil
	case "continue":
		return &continueNode{at}, nil
	case "include", "import", "from", "extends":
		return nil, p.fail("%s: chat templates cannot load other templates", name)
	}
	return nil, p.fail("encountered unknown tag %q", name)
}

func (p *parser) ifStatement(at line) (statement, error) {
	p.soft++
	defer func() { p.soft-- }()
	node := &ifNode{line: at}
	for {
		condition, err := p.tuple(false)
		if err != nil {
			return nil, err
		}
		body, err := p.block("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		node.conditions, node.bodies = append(node.conditions, condition), append(node.bodies, body)
		switch p.take().text {
		case "endif":
			return node, nil
		case "else":
			body, err := p.closed("endif")
			node.bodies = append(node.bodies, body)
			return node, err
		}
	}
}

func (p *parser) forStatement(at line) (_ statement, err error) {
	node := &forNode{line: at}
	if node.target, err = p.target("in"); err != nil {
		return nil, err
	}
	if err := p.expect(tokenName, "in"); err != nil {
		return nil, err
	}
	if node.iterable, err = p.tuple(false, "recursive"); err != nil {
		return nil, err
	}
	if p.skip(tokenName, "if") {
		if node.test, err = p.expression(); err != nil {
			return nil, err
		}
	}
	node.recursive = p.skip(tokenName, "recursive")
	if node.body, err = p.block("endfor", "else"); err != nil {
		return nil, err
	}
	if p.take().text == "else" {
		node.empty, err = p.closed("endfor")
	}
	return node, err
}

func (p *parser) setStatement(at line) (statement, error) {
	to, err := p.target()
	if err != nil {
		return nil, err
	}
	if p.skip(tokenOperator, "=") {
		value, err := p.tuple(true)
		return &setNode{line: at, target: to, value: value}, err
	}
	node := &setBlockNode{line: at, target: to}
	if p.isOperator("|") {
		p.take()
		if node.filters, err = p.filterChain(); err != nil {
			return nil, err
		}
	}
	node.body, err = p.closed("endset")
	return node, err
}

// target parses the target of an assignment, up to the name end if there is one, or up to the end of the tag.
func (p *parser) target(end ...string) (target, error) {
	var out target
	for comma := false; ; comma = true {
		if comma && !p.skip(tokenOperator, ",") {
			break
		}
		if p.isName(end...) || p.current().kind == tokenBlockEnd || p.isOperator("=", ")") {
			break
		}
		one, err := p.oneTarget()
		if err != nil {
			return target{}, err
		}
		out.tuple = append(out.tuple, one)
		if !comma && !p.isOperator(",") {
			return one, nil
		}
	}
	if out.tuple == nil {
		return target{}, p.fail("expected a name to assign to, got %s", p.current().describe())
	}
	return out, nil
}

func (p *parser) oneTarget() (target, error) {
	if err := p.enter(); err != nil {
		return target{}, err
	}
	defer p.leave()
	if p.skip(tokenOperator, "(") {
		inner, err := p.target()
		if err != nil {
			return target{}, err
		}
		return inner, p.expect(tokenOperator, ")")
	}
	if p.isName("true", "false", "none", "True", "False", "None") {
		return target{}, p.fail("can't assign to %s", p.current().describe())
	}
	first, err := p.expectName()
	out := target{name: first}
	if err == nil && p.skip(tokenOperator, ".") {
		out.attribute, err = p.expectName()
		p.read(first)
	}
	return out, err
}

func (p *parser) withStatement(at line) (_ statement, err error) {
	node := &withNode{line: at}
	for p.current().kind != tokenBlockEnd {
		if len(node.targets) > 0 {
			if err := p.expect(tokenOperator, ","); err != nil {
				return nil, err
			}
		}
		to, err := p.target()
		if err != nil {
			return nil, err
		}
		if err := p.expect(tokenOperator, "="); err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		node.targets, node.values = append(node.targets, to), append(node.values, value)
	}
	node.body, err = p.closed("endwith")
	return node, err
}

func (p *parser) blockStatement(at line) (statement, error) {
	name, err := p.expectName()
	if err != nil {
		return nil, err
	}
	scoped := p.skip(tokenName, "scoped")
	p.skip(tokenName, "required")
	body, err := p.closed("endblock")
	p.skip(tokenName, name)
	return &scopeNode{line: at, body: body, root: !scoped}, err
}
