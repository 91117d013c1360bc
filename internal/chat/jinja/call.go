package jinja

import (
	"fmt"
	"slices"
)

// arguments holds the evaluated arguments of a call.
type arguments struct {
	positional []value
	names      []string // names of the keyword arguments, in order
	named      map[string]value
}

// absent is the value of an argument that was not given.
type absent struct{}

// given reports whether an argument was given.
func given(v value) bool {
	_, is := v.(absent)
	return !is
}

// bind returns the arguments in the order of the parameters, of which the first required must be given.
func (a arguments) bind(function string, required int, parameters ...string) ([]value, error) {
	if len(a.positional) > len(parameters) {
		return nil, fmt.Errorf("%s() takes %d arguments but %d were given", function, len(parameters), len(a.positional))
	}
	out := make([]value, len(parameters))
	for i := range out {
		out[i] = absent{}
	}
	copy(out, a.positional)
	for _, name := range a.names {
		i := slices.Index(parameters, name)
		switch {
		case i < 0:
			return nil, fmt.Errorf("%s() got an unexpected keyword argument '%s'", function, name)
		case i < len(a.positional):
			return nil, fmt.Errorf("%s() got multiple values for argument '%s'", function, name)
		}
		out[i] = a.named[name]
	}
	for i := range required {
		if !given(out[i]) {
			return nil, fmt.Errorf("%s() missing required argument '%s'", function, parameters[i])
		}
	}
	return out, nil
}

// arguments evaluates the arguments of a call.
func (r *renderer) arguments(list argumentList, s *scope) (arguments, error) {
	args := arguments{named: map[string]value{}}
	for _, expression := range list.positional {
		v, err := r.eval(expression, s)
		if err != nil {
			return args, err
		}
		args.positional = append(args.positional, v)
	}
	for i, name := range list.names {
		v, err := r.eval(list.named[i], s)
		if err != nil {
			return args, err
		}
		if err := args.name(name, v); err != nil {
			return args, err
		}
	}
	if list.star != nil {
		v, err := r.eval(list.star, s)
		if err != nil {
			return args, err
		}
		more, err := r.elements(v)
		if err != nil {
			return args, err
		}
		args.positional = append(args.positional, more...)
	}
	if list.starStar == nil {
		return args, nil
	}
	v, err := r.eval(list.starStar, s)
	if err != nil {
		return args, err
	}
	d, ok := v.(*dict)
	if !ok {
		return args, fmt.Errorf("argument after ** must be a mapping, not %s", typeName(v))
	}
	for _, key := range d.keys {
		name, ok := text(key)
		if !ok {
			return args, fmt.Errorf("keywords must be strings")
		}
		if err := args.name(name, d.at(key)); err != nil {
			return args, err
		}
	}
	return args, nil
}

// name adds a keyword argument.
func (a *arguments) name(name string, v value) error {
	if _, twice := a.named[name]; twice {
		return fmt.Errorf("got multiple values for keyword argument '%s'", name)
	}
	a.names = append(a.names, name)
	a.named[name] = v
	return nil
}

// without removes a keyword argument and returns its value.
func (a *arguments) without(name string) (value, bool) {
	v, ok := a.named[name]
	if ok {
		delete(a.named, name)
		a.names = slices.DeleteFunc(slices.Clone(a.names), func(n string) bool { return n == name })
	}
	return v, ok
}

func (n *macroNode) exec(r *renderer, s *scope) error {
	s.set(n.name, macro(n.name, n.signature, n.body, s))
	return nil
}

func (n *callNode) exec(r *renderer, s *scope) error {
	callee, err := r.eval(n.call.function, s)
	if err != nil {
		return err
	}
	args, err := r.arguments(n.call.args, s)
	if err != nil {
		return err
	}
	if err := args.name("caller", macro("caller", n.signature, n.body, s)); err != nil {
		return err
	}
	v, err := r.invoke(callee, args)
	if err != nil {
		return err
	}
	text, err := strOf(v)
	if err != nil {
		return err
	}
	return r.write(text)
}

// macro returns a function that renders a body. The body sees the variables of the scope in which it is defined.
func macro(name string, sig signature, body []statement, around *scope) *function {
	return &function{name: name, call: func(r *renderer, args arguments) (value, error) {
		if err := r.call(); err != nil {
			return nil, err
		}
		defer r.returned()
		s := inside(around)
		if err := sig.bind(r, s, name, args); err != nil {
			return nil, err
		}
		return r.capture(body, s)
	}}
}

// bind sets a macro's parameters in the scope s.
func (sig *signature) bind(r *renderer, s *scope, macro string, args arguments) error {
	for i, name := range sig.names {
		v, ok := value(nil), i < len(args.positional)
		if ok {
			v = args.positional[i]
		} else {
			v, ok = args.without(name)
		}
		if fallback := i - len(sig.names) + len(sig.defaults); !ok && fallback >= 0 {
			var err error
			if v, err = r.eval(sig.defaults[fallback], s); err != nil {
				return err
			}
		} else if !ok {
			v = &undefined{message: "parameter " + reprString(name) + " was not provided"}
		}
		s.set(name, v)
	}
	if sig.caller && !slices.Contains(sig.names, "caller") {
		caller, ok := args.without("caller")
		if !ok {
			caller = &undefined{message: "No caller defined"}
		}
		s.set("caller", caller)
	}
	if sig.kwargs {
		rest := newDict()
		for _, name := range args.names {
			if err := rest.set(name, args.named[name]); err != nil {
				return err
			}
		}
		s.set("kwargs", rest)
	} else if len(args.names) > 0 {
		return fmt.Errorf("macro '%s' takes no keyword argument '%s'", macro, args.names[0])
	}
	rest := args.positional[min(len(sig.names), len(args.positional)):]
	if sig.varargs {
		s.set("varargs", &list{items: rest, kind: isTuple})
	} else if len(rest) > 0 {
		return fmt.Errorf("macro '%s' takes not more than %d argument(s)", macro, len(sig.names))
	}
	return nil
}
