package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Template is a parsed template.
type Template struct {
	// Now is the clock of strftime_now. New sets it to time.Now.
	Now func() time.Time

	env  *environment
	body []statement
}

// RaisedError means that the template called raise_exception.
type RaisedError struct{ Message string }

// Error implements error.
func (e *RaisedError) Error() string { return e.Message }

// New parses a template.
func New(source string) (*Template, error) {
	if len(source) > maxSource {
		return nil, &LimitError{What: "bytes of the source", Limit: maxSource}
	}
	env := newEnvironment()
	body, err := parse(env, source)
	if err != nil {
		return nil, err
	}
	return &Template{Now: time.Now, env: env, body: body}, nil
}

// Render renders the template with variables. Their values may be nil, bool, int, float64, string, []any, Object,
// json.RawMessage and Mapped.
func (t *Template) Render(variables map[string]any) (string, error) {
	r := &renderer{env: t.env, out: &strings.Builder{}, budget: budget{deadline: time.Now().Add(maxTime)}}
	r.now = t.Now()
	globals := &scope{variables: t.env.globals}
	r.root = inside(globals)
	for name, v := range variables {
		converted, err := valueOf(v)
		if err != nil {
			return "", fmt.Errorf("variable %s: %w", name, err)
		}
		r.root.set(name, converted)
	}
	if err := r.run(t.body, r.root); err != nil {
		if raised := new(RaisedError); errors.As(err, &raised) {
			return "", raised
		}
		return "", err
	}
	return r.out.String(), nil
}
