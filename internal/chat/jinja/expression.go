package jinja

import "strconv"

// expression parses an expression, including conditions of the form "a if b else c".
func (p *parser) expression() (expression, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	then, err := p.or()
	for err == nil && p.skip(tokenName, "if") {
		p.soft++
		node := &condExpression{then: then}
		if node.condition, err = p.or(); err == nil && p.skip(tokenName, "else") {
			node.otherwise, err = p.expression()
		}
		p.soft--
		then = node
	}
	return then, err
}

// tuple parses an expression, or several expressions as a tuple. If conditions is false, "a if b" ends at the if. The
// tuple also ends at any of the names in ends.
func (p *parser) tuple(conditions bool, ends ...string) (expression, error) {
	var items []expression
	for isTuple := false; ; {
		if p.tupleEnds(ends) {
			if !isTuple {
				return nil, p.fail("expected an expression, got %s", p.current().describe())
			}
			return &listExpression{items: items, tuple: true}, nil
		}
		read := p.or
		if conditions {
			read = p.expression
		}
		item, err := read()
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		if !p.skip(tokenOperator, ",") {
			if isTuple {
				return &listExpression{items: items, tuple: true}, nil
			}
			return item, nil
		}
		isTuple = true
	}
}

func (p *parser) tupleEnds(ends []string) bool {
	kind := p.current().kind
	return kind == tokenVariableEnd || kind == tokenBlockEnd || p.isOperator(")") || p.isName(ends...)
}

// chain parses operands that are joined by operators. The operators associate to the left.
func (p *parser) chain(operand func() (expression, error), operators ...string) (expression, error) {
	left, err := operand()
	for length := 0; err == nil && p.isOperator(operators...); length++ {
		node := &binaryExpression{operator: p.take().text, left: left}
		node.right, err = operand()
		left = node
		if length > maxParse {
			return nil, &LimitError{What: "operators", Limit: maxParse}
		}
	}
	return left, err
}

func (p *parser) or() (expression, error) {
	left, err := p.and()
	for err == nil && p.skip(tokenName, "or") {
		node := &logicExpression{left: left}
		node.right, err = p.and()
		left = node
	}
	return left, err
}

func (p *parser) and() (expression, error) {
	left, err := p.not()
	for err == nil && p.skip(tokenName, "and") {
		node := &logicExpression{left: left, and: true}
		node.right, err = p.not()
		left = node
	}
	return left, err
}

func (p *parser) not() (expression, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if p.skip(tokenName, "not") {
		operand, err := p.not()
		return &notExpression{operand}, err
	}
	return p.compare()
}

func (p *parser) compare() (expression, error) {
	first, err := p.sum()
	node := &compareExpression{first: first}
	for err == nil {
		var next comparison
		switch {
		case p.isOperator("==", "!=", "<", "<=", ">", ">="):
			next.operator = p.take().text
		case p.skip(tokenName, "in"):
			next.operator = "in"
		case p.isName("not") && p.peek().kind == tokenName && p.peek().text == "in":
			p.take()
			p.take()
			next.operator = "not in"
		case node.rest == nil:
			return first, nil
		default:
			return node, nil
		}
		next.operand, err = p.sum()
		node.rest = append(node.rest, next)
	}
	return nil, err
}

func (p *parser) sum() (expression, error) { return p.chain(p.concat, "+", "-") }

func (p *parser) concat() (expression, error) {
	first, err := p.product()
	if err != nil || !p.isOperator("~") {
		return first, err
	}
	node := &concatExpression{operands: []expression{first}}
	for p.skip(tokenOperator, "~") {
		operand, err := p.product()
		if err != nil {
			return nil, err
		}
		node.operands = append(node.operands, operand)
	}
	return node, nil
}

func (p *parser) product() (expression, error) { return p.chain(p.power, "*", "/", "//", "%") }

func (p *parser) power() (expression, error) {
	return p.chain(func() (expression, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (node expression, err error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if p.isOperator("-", "+") {
		sign := &signExpression{negative: p.take().text == "-"}
		sign.operand, err = p.unary(false)
		node = sign
	} else {
		node, err = p.primary()
	}
	if err == nil {
		node, err = p.postfix(node)
	}
	if err == nil && filters {
		node, err = p.filtersAndTests(node)
	}
	return node, err
}

func (p *parser) primary() (expression, error) {
	switch t := p.current(); {
	case t.kind == tokenName:
		p.take()
		switch t.text {
		case "true", "True", "false", "False":
			return &constant{t.text == "true" || t.text == "True"}, nil
		case "none", "None":
			return &constant{nil}, nil
		}
		p.read(t.text)
		return &name{t.text}, nil
	case t.kind == tokenString:
		joined := ""
		for p.current().kind == tokenString {
			joined += p.take().text
		}
		return &constant{joined}, nil
	case t.kind == tokenInteger || t.kind == tokenFloat:
		return &constant{numberOf(p.take())}, nil
	case p.skip(tokenOperator, "("):
		if p.skip(tokenOperator, ")") {
			return &listExpression{tuple: true}, nil
		}
		inner, err := p.tuple(true)
		if err != nil {
			return nil, err
		}
		return inner, p.expect(tokenOperator, ")")
	case p.skip(tokenOperator, "["):
		items, err := p.items("]")
		return &listExpression{items: items}, err
	case p.skip(tokenOperator, "{"):
		return p.dict()
	}
	return nil, p.fail("unexpected %s", p.current().describe())
}

// numberOf returns the value of a number token. The lexer has checked that it is valid.
func numberOf(t token) value {
	if t.kind == tokenFloat {
		f, _ := strconv.ParseFloat(t.text, 64)
		return f
	}
	n, _ := strconv.ParseInt(t.text, 0, 64)
	return n
}

// items parses expressions up to a closing bracket.
func (p *parser) items(closing string) ([]expression, error) {
	var items []expression
	for !p.skip(tokenOperator, closing) {
		if len(items) > 0 {
			if err := p.expect(tokenOperator, ","); err != nil {
				return nil, err
			}
			if p.skip(tokenOperator, closing) {
				break
			}
		}
		item, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (p *parser) dict() (expression, error) {
	node := &dictExpression{}
	for !p.skip(tokenOperator, "}") {
		if len(node.keys) > 0 {
			if err := p.expect(tokenOperator, ","); err != nil {
				return nil, err
			}
			if p.skip(tokenOperator, "}") {
				break
			}
		}
		key, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expect(tokenOperator, ":"); err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		node.keys, node.values = append(node.keys, key), append(node.values, value)
	}
	return node, nil
}
