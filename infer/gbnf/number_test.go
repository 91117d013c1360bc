package gbnf

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestNumberBounds(t *testing.T) {
	tests := map[string]struct {
		schema  string
		yes, no []string
	}{
		"fraction below":  {`{"type":"number","minimum":0.5,"maximum":5}`, []string{`0.5`, `0.7`, `0.50`, `1`, `4.99`, `5`, `5.0`, `7e-1`, `4.5E+0`}, []string{`0`, `0.4`, `0.49`, `5.01`, `-1`, `4e-1`, `5.1e0`, `1e1`}},
		"degrees":         {`{"type":"number","minimum":36.5,"maximum":42.5}`, []string{`36.5`, `36.6`, `37`, `41.999`, `42.5`, `4.2e1`, `3.65e01`}, []string{`36.4`, `36`, `42.51`, `43`, `3.6e1`}},
		"within one":      {`{"type":"number","minimum":0.05,"maximum":0.95}`, []string{`0.05`, `0.5`, `0.95`, `0.949`, `5e-2`}, []string{`0`, `0.04`, `0.951`, `1`, `4.9e-2`, `9.6e-1`}},
		"close":           {`{"type":"number","minimum":0.123,"maximum":0.1234}`, []string{`0.123`, `0.1230`, `0.12339`, `0.1234`}, []string{`0.122`, `0.12341`, `0.12`, `0.1`}},
		"one value":       {`{"type":"number","minimum":1.5,"maximum":1.5}`, []string{`1.5`, `1.50`, `1.5e0`}, []string{`1`, `1.51`, `1.4`}},
		"negative":        {`{"type":"number","minimum":-2.25,"maximum":-0.5}`, []string{`-2.25`, `-1`, `-0.5`, `-0.75`, `-2.2e0`}, []string{`-2.26`, `-0.4`, `0`, `1`, `-3`}},
		"around zero":     {`{"type":"number","minimum":-0.1,"maximum":0.1}`, []string{`0`, `0.0`, `-0.1`, `0.1`, `-0.05`, `1e-9`, `-1e-7`}, []string{`0.11`, `-0.2`, `1`, `2e-1`}},
		"open":            {`{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`, []string{`0.5`, `0.001`, `0.99999999999999`, `1e-299`}, []string{`0`, `0.0`, `1`, `1.0`, `1e0`, `0.99999999999999999`}},
		"open fraction":   {`{"type":"number","exclusiveMinimum":0.5,"exclusiveMaximum":2.5}`, []string{`0.51`, `0.5001`, `2.49`, `2`}, []string{`0.5`, `0.50`, `2.5`, `2.50`, `2.51`, `5e-1`}},
		"both":            {`{"type":"number","minimum":0,"exclusiveMinimum":0,"maximum":3,"exclusiveMaximum":5}`, []string{`0.1`, `3`}, []string{`0`, `3.1`, `4`}},
		"exponents":       {`{"type":"number","minimum":1e-05,"maximum":2.5E+2}`, []string{`0.00001`, `1e-5`, `0.5`, `250`, `2.5e2`, `1e-05`}, []string{`0`, `0.000009`, `9e-6`, `250.1`, `2.6e2`}},
		"from 0":          {`{"type":"number","minimum":0}`, []string{`0`, `6.02e23`, `1e-7`, `1.5`, `1234567890123456789.5`}, []string{`-1`, `-1e-7`, `1e300`}},
		"below 0":         {`{"type":"number","exclusiveMaximum":0}`, []string{`-6.02e23`, `-1e-7`, `-0.25`}, []string{`0`, `-0`, `-0.0`, `1`}},
		"to the largest":  {`{"type":"number","minimum":-1.7976931348623157e308,"maximum":1.7976931348623157e308}`, []string{`0`, `-1e299`, `12.5`}, []string{`1e308`}},
		"tiny":            {`{"type":"number","minimum":1e-300,"maximum":1}`, []string{`1e-298`, `1e-30`, `0.5`, `0.00000000000000000001`, `1`}, []string{`0`, `0.0`}},
		"huge":            {`{"type":"number","minimum":1e25}`, []string{`1e25`, `3.5e25`, `1e26`}, []string{`1`, `9e24`, `1234567890123456789`}},
		"int64":           {`{"type":"integer"}`, []string{`1234567890123456789`, `9223372036854775807`, `-9223372036854775808`, `0`, `10`}, []string{`9223372036854775808`, `-9223372036854775809`, `-0`, `01`, `10000000000000000000`}},
		"integer from":    {`{"type":"integer","minimum":0.5}`, []string{`1`, `9223372036854775807`}, []string{`0`, `9223372036854775808`}},
		"exponent bounds": {`{"type":"integer","minimum":-1e2,"maximum":1.5e3}`, []string{`-100`, `1500`}, []string{`-101`, `1501`}},
		"uint64":          {`{"type":"integer","minimum":0,"maximum":18446744073709551615}`, []string{`0`, `9999999999999999999`}, []string{`-1`}},
		"digits":          {`{"type":"number"}`, []string{`0.12345678901234567`, `-1234567890123456789.25e-10`}, []string{`.5`, `1.`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { checkSchema(t, test.schema, test.yes, test.no) })
	}
}

// checkSchema reports texts that a schema's grammar should accept but refuses, or should refuse but accepts.
func checkSchema(t *testing.T, schema string, yes, no []string) {
	t.Helper()
	text, err := FromSchema([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	g := mustParse(t, text)
	for _, value := range yes {
		if ok, n := accepts(t, g, value); !ok {
			t.Errorf("%s is refused, %d bytes fit:\n%s", value, n, text)
		}
	}
	for _, value := range no {
		if ok, _ := accepts(t, g, value); ok {
			t.Errorf("%s is accepted:\n%s", value, text)
		}
	}
}

// Random bounds accept exactly the numbers within them, as decimals and with exponents.
func TestNumberBoundsAgreeWithArithmetic(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	number := func() string {
		text := strconv.Itoa(random.IntN([]int{2, 12, 120, 12000}[random.IntN(4)]))
		if n := random.IntN(5); n > 0 {
			text += "." + fmt.Sprintf("%0*d", n, random.IntN([]int{1, 2, 10, 10000}[random.IntN(4)]))
		}
		if random.IntN(2) == 0 {
			return "-" + text
		}
		return text
	}
	for range 500 {
		first, second := number(), number()
		low, _ := new(big.Rat).SetString(first)
		high, _ := new(big.Rat).SetString(second)
		if low.Cmp(high) > 0 {
			first, second, low, high = second, first, high, low
		}
		lowOpen, highOpen := random.IntN(2) == 0, random.IntN(2) == 0
		noLow, noHigh := random.IntN(8) == 0, random.IntN(8) == 0
		var members []string
		if !noLow {
			members = append(members, map[bool]string{false: `"minimum":`, true: `"exclusiveMinimum":`}[lowOpen]+first)
		}
		if !noHigh {
			members = append(members, map[bool]string{false: `"maximum":`, true: `"exclusiveMaximum":`}[highOpen]+second)
		}
		whole := random.IntN(3) == 0
		schema := `{"type":"` + map[bool]string{false: "number", true: "integer"}[whole] + `",` + strings.Join(members, ",") + "}"
		if len(members) == 0 {
			continue
		}
		within := func(text string) bool {
			x, ok := new(big.Rat).SetString(text)
			if !ok {
				t.Fatalf("%s is not a number", text)
			}
			above, below := x.Cmp(low), x.Cmp(high)
			return (noLow || above > 0 || above == 0 && !lowOpen) && (noHigh || below < 0 || below == 0 && !highOpen) && (!whole || x.IsInt())
		}
		text, err := FromSchema([]byte(schema))
		if err != nil {
			for range 30 {
				if x := number(); within(x) {
					t.Fatalf("%s: %v, but %s is within", schema, err, x)
				}
			}
			continue
		}
		g := mustParse(t, text)
		for range 30 {
			x := number()
			switch random.IntN(4) {
			case 0:
				x = first
			case 1:
				x = second
			}
			if n := random.IntN(4); n > 0 && !whole {
				if !strings.Contains(x, ".") {
					x += "."
				}
				x += strings.Repeat(strconv.Itoa(random.IntN(10)), n) // close to a bound, or the same value with more digits
			}
			if whole {
				x, _, _ = strings.Cut(x, ".")
			} else if exponent := random.IntN(9) - 5; exponent < 3 {
				r, _ := new(big.Rat).SetString(x)
				f, _ := r.Float64()
				x = strconv.FormatFloat(f, 'e', -1, 64)
			}
			if r, _ := new(big.Rat).SetString(x); r.Sign() == 0 && (strings.HasPrefix(x, "-") || strings.Contains(x, "e")) {
				x = "0" // has only this notation
			}
			if ok, _ := accepts(t, g, x); ok != within(x) {
				t.Fatalf("%s takes %s: %t\n%s", schema, x, ok, text)
			}
		}
		for range 5 {
			if x, complete := write(t, g, random); complete && !within(x) {
				t.Fatalf("%s gives %s\n%s", schema, x, text)
			}
		}
	}
}
