package jinja

// statement is a node that writes or does something. Its line is where it begins.
type statement interface {
	exec(r *renderer, s *scope) error
	at() int
}

// expression is a node with a value.
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
		conditions []expression // one for each body but the last, which is for else
		bodies     [][]statement
	}
	forNode struct {
		line
		target      target
		iterable    expression
		test        expression // nil: all elements
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
		filters []*filterExpression // that the text passes
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
	scopeNode struct { // a body with variables of its own
		line
		body []statement
		root bool // it sees the template's own variables alone
	}
	breakNode    struct{ line }
	continueNode struct{ line }
)

// signature are the parameters of a macro.
type signature struct {
	names    []string
	defaults []expression // of the last names
	varargs  bool         // the body reads further arguments
	kwargs   bool
	caller   bool
}

// target is what can be assigned to: a name, a namespace's attribute, or a tuple of those.
type target struct {
	name      string
	attribute string // of the namespace called name
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

// comparison is one operator of a chain, and what stands behind it.
type comparison struct {
	operator string // also "in" and "not in"
	operand  expression
}

// argumentList are the arguments of a call.
type argumentList struct {
	positional []expression
	names      []string
	named      []expression
	star       expression // *args; nil: none
	starStar   expression // **kwargs; nil: none
}
