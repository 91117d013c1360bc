package jinja

// postfix parses the attributes, indices and calls after an expression.
func (p *parser) postfix(node expression) (_ expression, err error) {
	for length := 0; err == nil; length++ {
		if length > maxParse {
			return nil, &LimitError{What: "attributes and calls", Limit: maxParse}
		}
		switch {
		case p.skip(tokenOperator, "."):
			node, err = p.attribute(node)
		case p.skip(tokenOperator, "["):
			node, err = p.subscript(node)
		case p.skip(tokenOperator, "("):
			call := &callExpression{function: node}
			call.args, err = p.arguments()
			node = call
		default:
			return node, nil
		}
	}
	return nil, err
}

func (p *parser) attribute(node expression) (expression, error) {
	switch t := p.take(); t.kind {
	case tokenName:
		return &attributeExpression{object: node, name: t.text}, nil
	case tokenInteger:
		return &itemExpression{object: node, key: &constant{numberOf(t)}}, nil
	}
	return nil, p.fail("expected name or number")
}

func (p *parser) subscript(node expression) (expression, error) {
	var keys []expression
	for !p.skip(tokenOperator, "]") {
		if len(keys) > 0 {
			if err := p.expect(tokenOperator, ","); err != nil {
				return nil, err
			}
		}
		key, err := p.subscribed()
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 1 {
		return &itemExpression{object: node, key: keys[0]}, nil
	}
	return &itemExpression{object: node, key: &listExpression{items: keys, tuple: true}}, nil
}

// subscribed parses an index or a slice.
func (p *parser) subscribed() (expression, error) {
	var parts [3]expression
	for i := range parts {
		if i > 0 && !p.skip(tokenOperator, ":") {
			break
		}
		if !p.isOperator(":", "]", ",") {
			part, err := p.expression()
			if err != nil {
				return nil, err
			}
			if parts[i] = part; i == 0 && !p.isOperator(":") {
				return part, nil
			}
		}
	}
	return &sliceKey{parts[0], parts[1], parts[2]}, nil
}

// arguments parses the arguments of a call after its opening parenthesis.
func (p *parser) arguments() (args argumentList, err error) {
	for comma := false; !p.skip(tokenOperator, ")"); comma = true {
		if comma {
			if err := p.expect(tokenOperator, ","); err != nil {
				return args, err
			}
			if p.skip(tokenOperator, ")") {
				break
			}
		}
		starred := args.star != nil || args.starStar != nil
		switch {
		case p.isOperator("*") && !starred:
			p.take()
			args.star, err = p.expression()
		case p.isOperator("**") && args.starStar == nil:
			p.take()
			args.starStar, err = p.expression()
		case p.current().kind == tokenName && p.peek().kind == tokenOperator && p.peek().text == "=" && args.starStar == nil:
			args.names = append(args.names, p.take().text)
			p.take()
			var value expression
			value, err = p.expression()
			args.named = append(args.named, value)
		case starred || len(args.names) > 0:
			return args, p.fail("invalid syntax for function call expression")
		default:
			var value expression
			value, err = p.expression()
			args.positional = append(args.positional, value)
		}
		if err != nil {
			return args, err
		}
	}
	return args, nil
}

// filtersAndTests parses the filters (|) and tests (is) after an expression.
func (p *parser) filtersAndTests(node expression) (_ expression, err error) {
	for length := 0; err == nil; length++ {
		if length > maxParse {
			return nil, &LimitError{What: "filters", Limit: maxParse}
		}
		switch {
		case p.skip(tokenOperator, "|"):
			node, err = p.filter(node)
		case p.skip(tokenName, "is"):
			node, err = p.test(node)
		case p.skip(tokenOperator, "("):
			call := &callExpression{function: node}
			call.args, err = p.arguments()
			node = call
		default:
			return node, nil
		}
	}
	return nil, err
}

// dotted parses the name of a filter or test, which may contain dots.
func (p *parser) dotted() (string, error) {
	name, err := p.expectName()
	for err == nil && p.skip(tokenOperator, ".") {
		var more string
		more, err = p.expectName()
		name += "." + more
	}
	return name, err
}

func (p *parser) filter(node expression) (*filterExpression, error) {
	name, err := p.dotted()
	if err != nil {
		return nil, err
	}
	if p.env.filters[name] == nil && p.soft == 0 {
		return nil, p.fail("no filter named %q", name)
	}
	out := &filterExpression{name: name, value: node}
	if p.skip(tokenOperator, "(") {
		out.args, err = p.arguments()
	}
	return out, err
}

// filterChain parses the filters of a block.
func (p *parser) filterChain() ([]*filterExpression, error) {
	var chain []*filterExpression
	for {
		filter, err := p.filter(nil)
		if err != nil {
			return nil, err
		}
		chain = append(chain, filter)
		if !p.skip(tokenOperator, "|") {
			return chain, nil
		}
	}
}

func (p *parser) test(node expression) (expression, error) {
	negated := p.skip(tokenName, "not")
	name, err := p.dotted()
	if err != nil {
		return nil, err
	}
	if p.env.tests[name] == nil && p.soft == 0 {
		return nil, p.fail("no test named %q", name)
	}
	out := &testExpression{name: name, value: node}
	switch t := p.current(); {
	case p.skip(tokenOperator, "("):
		out.args, err = p.arguments()
	case p.isName("else", "or", "and"):
	case p.isName("is"):
		return nil, p.fail("you cannot chain multiple tests with is")
	case t.kind == tokenName || t.kind == tokenString || t.kind == tokenInteger || t.kind == tokenFloat || p.isOperator("[", "{"):
		var argument expression
		if argument, err = p.primary(); err == nil {
			argument, err = p.postfix(argument)
		}
		out.args.positional = []expression{argument}
	}
	if err == nil && negated {
		return &notExpression{out}, nil
	}
	return out, err
}
