package jinja

// macroBody parses a body and records which special variables it reads.
func (p *parser) macroBody(s *signature, end string) ([]statement, error) {
	p.names = append(p.names, map[string]bool{})
	body, err := p.closed(end)
	read := p.names[len(p.names)-1]
	p.names = p.names[:len(p.names)-1]
	for name := range read {
		p.read(name)
	}
	s.varargs, s.kwargs, s.caller = read["varargs"], read["kwargs"], read["caller"]
	return body, err
}

// read records that the innermost open macro reads a variable.
func (p *parser) read(name string) {
	if len(p.names) > 0 {
		p.names[len(p.names)-1][name] = true
	}
}

func (p *parser) macroStatement(at line) (_ statement, err error) {
	node := &macroNode{line: at}
	if node.name, err = p.expectName(); err != nil {
		return nil, err
	}
	if err := p.signature(&node.signature); err != nil {
		return nil, err
	}
	node.body, err = p.macroBody(&node.signature, "endmacro")
	return node, err
}

func (p *parser) signature(s *signature) error {
	if err := p.expect(tokenOperator, "("); err != nil {
		return err
	}
	for !p.skip(tokenOperator, ")") {
		if len(s.names) > 0 {
			if err := p.expect(tokenOperator, ","); err != nil {
				return err
			}
		}
		name, err := p.expectName()
		if err != nil {
			return err
		}
		s.names = append(s.names, name)
		if p.skip(tokenOperator, "=") {
			value, err := p.expression()
			if err != nil {
				return err
			}
			s.defaults = append(s.defaults, value)
		} else if len(s.defaults) > 0 {
			return p.fail("non-default argument follows default argument")
		}
	}
	return nil
}

func (p *parser) callStatement(at line) (statement, error) {
	node := &callNode{line: at}
	if p.isOperator("(") {
		if err := p.signature(&node.signature); err != nil {
			return nil, err
		}
	}
	value, err := p.expression()
	if err != nil {
		return nil, err
	}
	call, ok := value.(*callExpression)
	if !ok {
		return nil, p.fail("expected call")
	}
	node.call = call
	node.body, err = p.macroBody(&node.signature, "endcall")
	return node, err
}

func (p *parser) filterStatement(at line) (_ statement, err error) {
	node := &filterNode{line: at}
	if node.filters, err = p.filterChain(); err != nil {
		return nil, err
	}
	node.body, err = p.closed("endfilter")
	return node, err
}
