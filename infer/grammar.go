package infer

// CheckGrammar tells whether a grammar in GBNF can be held: nil, or a ParameterError that says what is wrong where.
func (e *Engine) CheckGrammar(gbnf string) error {
	return &ParameterError{Field: "grammar", Reason: "not supported"}
}

// SchemaGrammar turns a JSON schema into a grammar in GBNF. A schema that cannot be held as a whole gives a ParameterError.
func (e *Engine) SchemaGrammar(schema []byte) (gbnf string, err error) {
	return "", &ParameterError{Field: "schema", Reason: "not supported"}
}
