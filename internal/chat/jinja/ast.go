package jinja

// statement is a node that writes output or has an effect. line is the line where it begins.
type statement interface {
	exec(r *renderer, s *scope) error
	at() int
}

// expression is a node that has a value.
type expression interface {
	eval(r *renderer, s *scope) (value, error)
}

type line int

func (l line) at() int { return int(l) }

// Statements.
type (
	dataNode struct {
		line
		text string
	}
	outputNode struct {
		line
		value expression
	}
	ifNode struct {
		line
		conditions []expression // one for each body except a last one for else
		bodies     [][]statement
	}
	forNode struct {
		line
		target      target
		iterable    expression
		test        expression // nil: take all elements
		body, empty []statement
		recursive   bool
	}
	setNode struct {
		line
		target target
		value  expression
	}
	setBlockNode struct {
		line
		target  target
		filters []*filterExpression // to apply to the text
		body    []statement
	}
	macroNode struct {
		line
		signature
		name string
		body []statement
	}
	callNode struct { // {% call %}
		line
		signature
		call *callExpression
		body []statement
	}
	filterNode struct { // {% filter %}
		line
		filters []*filterExpression
		body    []statement
	}
	withNode struct {
		line
		targets []target
		values  []expression
		body    []statement
	}
	scopeNode struct { // a body with its own variables
		line
		body []statement
		root bool // the body sees only the template's own variables
	}
	breakNode    struct{ line }
	continueNode struct{ line }
)

// signature holds the parameters of a macro.
type signature struct {
	names    []string
	defaults []expression // for the last names
	varargs  bool         // whether the body reads further arguments
	kwargs   bool
	caller   bool
}

// target is what a template can assign to: a name, an attribute of a namespace, or a tuple of targets.
type target struct {
	name      string
	attribute string // of the namespace called name; "" if the target is the name itself
	tuple     []target
}

// Expressions.
type (
	constant struct{ value value }
	name     struct{ name string }

	attributeExpression struct {
		object expression
		name   string
	}
	itemExpression struct{ object, key expression }
	sliceKey       struct{ start, stop, step expression } // each may be nil

	notExpression  struct{ operand expression }
	signExpression struct {
		operand  expression
		negative bool
	}
	logicExpression struct {
		left, right expression
		and         bool
	}
	binaryExpression struct {
		operator    string
		left, right expression
	}
	concatExpression  struct{ operands []expression }
	compareExpression struct {
		first expression
		rest  []comparison
	}
	condExpression struct{ condition, then, otherwise expression } // otherwise may be nil

	listExpression struct {
		items []expression
		tuple bool
	}
	dictExpression struct{ keys, values []expression }

	callExpression struct {
		function expression
		args     argumentList
	}
	filterExpression struct {
		name  string
		value expression
		args  argumentList
	}
	testExpression struct {
		name  string
		value expression
		args  argumentList
	}
)

// comparison is one operator of a chain of comparisons, with its right operand.
type comparison struct {
	operator string // may be "in" or "not in"
	operand  expression
}

// argumentList holds the unevaluated arguments of a call.
type argumentList struct {
	positional []expression
	names      []string
	named      []expression
	star       expression // *args; may be nil
	starStar   expression // **kwargs; may be nil
}
