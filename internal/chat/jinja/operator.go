package jinja

import (
	"errors"
	"fmt"
	"html"
	"math"
	"strings"
)

// binary evaluates an arithmetic operator.
func (r *renderer) binary(operator string, left, right value) (value, error) {
	for _, v := range []value{left, right} {
		if u, ok := v.(*undefined); ok {
			return nil, u.fail()
		}
	}
	a, aText := text(left)
	b, bText := text(right)
	switch {
	case operator == "%" && aText:
		return r.percent(a, right)
	case operator == "+" && aText && bText:
		return r.join(left, right)
	case operator == "+" && aText:
		return nil, fmt.Errorf("can only concatenate str (not \"%s\") to str", typeName(right))
	case operator == "*" && aText:
		return r.repeatText(a, right)
	case operator == "*" && bText:
		return r.repeatText(b, left)
	}
	if x, ok := left.(*list); ok {
		if y, ok := right.(*list); ok && operator == "+" && x.kind == y.kind && x.kind <= isTuple {
			return r.joinLists(x, y)
		}
		if operator == "*" && x.kind <= isTuple {
			return r.repeatList(x, right)
		}
	}
	if y, ok := right.(*list); ok && operator == "*" && y.kind <= isTuple {
		return r.repeatList(y, left)
	}
	return arithmetic(operator, left, right)
}

func (r *renderer) join(left, right value) (value, error) {
	a, b := left, right
	x, xSafe := left.(markup)
	y, ySafe := right.(markup)
	if xSafe || ySafe {
		if !xSafe {
			x = markup(escape(a.(string)))
		}
		if !ySafe {
			y = markup(escape(b.(string)))
		}
		return x + y, r.spend(len(x) + len(y))
	}
	if err := r.spend(len(a.(string)) + len(b.(string))); err != nil {
		return nil, err
	}
	return a.(string) + b.(string), nil
}

// escape is the function escape of Python's markupsafe.
func escape(s string) string {
	return html.EscapeString(s)
}

func (r *renderer) repeatText(s string, times value) (value, error) {
	n, ok := asInteger(times)
	if !ok {
		return nil, fmt.Errorf("can't multiply sequence by non-int of type '%s'", typeName(times))
	}
	if n <= 0 || s == "" {
		return "", nil
	}
	if n > maxOutput/int64(len(s)) {
		return nil, &LimitError{What: "size of a value", Limit: maxOutput}
	}
	if err := r.spend(len(s) * int(n)); err != nil {
		return nil, err
	}
	return strings.Repeat(s, int(n)), nil
}

func (r *renderer) repeatList(l *list, times value) (value, error) {
	n, ok := asInteger(times)
	if !ok {
		return nil, fmt.Errorf("can't multiply sequence by non-int of type '%s'", typeName(times))
	}
	out := &list{kind: l.kind}
	for range max(n, 0) {
		if len(l.items) == 0 {
			break
		}
		if len(out.items) > maxElements {
			return nil, &LimitError{What: "elements of a list", Limit: maxElements}
		}
		out.items = append(out.items, l.items...)
	}
	return out, r.step(len(out.items))
}

func (r *renderer) joinLists(x, y *list) (value, error) {
	n := len(x.items) + len(y.items)
	if n > maxElements {
		return nil, &LimitError{What: "elements of a list", Limit: maxElements}
	}
	items := append(append(make([]value, 0, n), x.items...), y.items...)
	return &list{items: items, kind: x.kind}, r.step(n)
}

// asFloat returns a number as a float, or false if the value is not a number.
func asFloat(v value) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	n, ok := asInteger(v)
	return float64(n), ok
}

var errOverflow = errors.New("integers beyond 64 bits are not supported")

// arithmetic evaluates an operator on numbers.
func arithmetic(operator string, left, right value) (value, error) {
	x, xNumber := asFloat(left)
	y, yNumber := asFloat(right)
	if !xNumber || !yNumber {
		return nil, fmt.Errorf("unsupported operand type(s) for %s: '%s' and '%s'", operator, typeName(left), typeName(right))
	}
	if y == 0 && (operator == "/" || operator == "//" || operator == "%") {
		return nil, errors.New("division by zero")
	}
	a, aInteger := asInteger(left)
	b, bInteger := asInteger(right)
	if aInteger && bInteger && operator != "/" && (operator != "**" || b >= 0) {
		return integers(operator, a, b)
	}
	switch operator {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "/":
		return x / y, nil
	case "//":
		return math.Floor(x / y), nil
	case "%":
		return x - y*math.Floor(x/y), nil
	}
	return math.Pow(x, y), nil
}

// integers evaluates an operator on integers. For a division b must not be 0.
func integers(operator string, a, b int64) (value, error) {
	switch operator {
	case "+":
		if sum := a + b; (sum > a) == (b > 0) {
			return sum, nil
		}
	case "-":
		if difference := a - b; (difference < a) == (b > 0) {
			return difference, nil
		}
	case "*":
		if product := a * b; a == 0 || product/a == b && (a != -1 || b != math.MinInt64) {
			return product, nil
		}
	case "//", "%":
		quotient, rest := a/b, a%b
		if rest != 0 && (rest < 0) != (b < 0) { // Python rounds down
			quotient, rest = quotient-1, rest+b
		}
		if operator == "%" {
			return rest, nil
		}
		return quotient, nil
	case "**":
		power := int64(1)
		for range min(b, 64) {
			if a != 0 && (power*a)/a != power {
				return nil, errOverflow
			}
			power *= a
		}
		if b <= 64 || power == 0 || power == 1 {
			return power, nil
		}
		if power == -1 {
			return 1 - 2*(b%2), nil
		}
	}
	return nil, errOverflow
}

// compare evaluates a comparison operator.
func (r *renderer) compare(operator string, left, right value) (bool, error) {
	switch operator {
	case "==", "!=":
		same, err := r.equal(left, right)
		return same == (operator == "=="), err
	case "in", "not in":
		found, err := r.contains(right, left)
		return found == (operator == "in"), err
	}
	order, err := r.order(operator, left, right)
	if err != nil {
		return false, err
	}
	switch operator {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order == 1, nil
	}
	return order == 0 || order == 1, nil
}

// equal is Python's ==.
func (r *renderer) equal(left, right value) (bool, error) {
	if err := r.enter(); err != nil {
		return false, err
	}
	defer r.leave()
	if a, ok := text(left); ok {
		b, ok := text(right)
		if !ok || len(a) != len(b) {
			return false, nil
		}
		return a == b, r.spend(len(a))
	}
	if x, ok := asFloat(left); ok {
		y, ok := asFloat(right)
		return ok && x == y, nil
	}
	switch a := left.(type) {
	case nil:
		return right == nil, nil
	case *undefined:
		_, ok := right.(*undefined)
		return ok, nil
	case *list:
		b, ok := right.(*list)
		if !ok || a.kind != b.kind || len(a.items) != len(b.items) {
			return false, nil
		}
		for i := range a.items {
			if same, err := r.equal(a.items[i], b.items[i]); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case *dict:
		b, ok := right.(*dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false, nil
		}
		for _, key := range a.keys {
			other, ok := b.get(key)
			if !ok {
				return false, nil
			}
			if same, err := r.equal(a.at(key), other); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	}
	return left == right, nil
}

// unordered is the result of order if one operand is NaN.
const unordered = 2

// order returns -1, 0 or 1 if left is less than, equal to or greater than right.
func (r *renderer) order(operator string, left, right value) (int, error) {
	for _, v := range []value{left, right} {
		if u, ok := v.(*undefined); ok {
			return 0, u.fail()
		}
	}
	if a, ok := text(left); ok {
		if b, ok := text(right); ok { // UTF-8 sorts like code points
			return strings.Compare(a, b), r.spend(min(len(a), len(b)))
		}
	}
	if x, ok := asFloat(left); ok {
		if y, ok := asFloat(right); ok {
			return orderOf(x, y), nil
		}
	}
	a, aList := left.(*list)
	b, bList := right.(*list)
	if !aList || !bList || a.kind != b.kind || a.kind > isTuple {
		return 0, fmt.Errorf("'%s' not supported between instances of '%s' and '%s'", operator, typeName(left), typeName(right))
	}
	for i := range min(len(a.items), len(b.items)) {
		same, err := r.equal(a.items[i], b.items[i])
		if err != nil {
			return 0, err
		}
		if !same {
			if err := r.enter(); err != nil {
				return 0, err
			}
			defer r.leave()
			return r.order(operator, a.items[i], b.items[i])
		}
	}
	return orderOf(float64(len(a.items)), float64(len(b.items))), nil
}

func orderOf(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	}
	return unordered
}

// contains is Python's in.
func (r *renderer) contains(container, element value) (bool, error) {
	if whole, ok := text(container); ok {
		part, ok := text(element)
		if !ok {
			return false, fmt.Errorf("'in <string>' requires string as left operand, not %s", typeName(element))
		}
		return strings.Contains(whole, part), r.spend(len(whole))
	}
	if d, ok := container.(*dict); ok {
		if _, err := hashOf(element); err != nil {
			return false, err
		}
		_, found := d.get(element)
		return found, nil
	}
	items, err := r.elements(container)
	if err != nil {
		return false, fmt.Errorf("argument of type '%s' is not iterable", typeName(container))
	}
	for _, item := range items {
		if same, err := r.equal(item, element); err != nil || same {
			return same, err
		}
	}
	return false, nil
}
