package openapi

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

const (
	// MaxRatio is the largest ratio that a model name can ask for. A model's own limit is lower, because only its MLPs are
	// pruned; the error for a larger ratio names that limit.
	MaxRatio = 0.95
	// MaxRatioDecimals is the most digits after the point of a ratio.
	MaxRatioDecimals = 9
	// MaxModelNameBytes is the longest model name.
	MaxModelNameBytes = 256
)

// Auto is what stands after the '@' where the server is to choose the ratio.
const Auto = "auto"

// AnyModel is a base name that every server accepts for its own model, for clients that must send one and know none.
const AnyModel = "default"

// ModelName is a model as a client names it: "name", "name@ratio" or "name@auto".
type ModelName struct {
	Base     string  // without the ratio; empty when the client named no model
	Ratio    float64 // share of all parameters removed, 0 to MaxRatio
	Explicit bool    // a ratio was given; otherwise the server's own applies
	Auto     bool    // the server is to choose the ratio, by its limits on latency
}

// String is the name as a client would write it, the ratio in its shortest form.
func (n ModelName) String() string {
	if n.Auto {
		return n.Base + "@" + Auto
	}
	if !n.Explicit {
		return n.Base
	}
	return n.Base + "@" + FormatRatio(n.Ratio)
}

// FormatRatio writes a ratio in its shortest decimal form, as in model names: 0.2.
func FormatRatio(ratio float64) string { return strconv.FormatFloat(ratio, 'f', -1, 64) }

// ParseModelName splits a model name at its last '@'. The error is an *Error with Param "model".
func ParseModelName(name string) (ModelName, error) {
	parsed, err := parseModelName(name)
	if err != nil {
		return ModelName{}, err
	}
	return parsed, nil
}

func parseModelName(name string) (ModelName, *Error) {
	switch {
	case name == "":
		return ModelName{}, Invalid("model", CodeInvalidValue, "model is empty: name one that /v1/models lists")
	case len(name) > MaxModelNameBytes:
		return ModelName{}, Invalid("model", CodeInvalidValue, "model has %d bytes, want at most %d", len(name), MaxModelNameBytes)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return ModelName{}, Invalid("model", CodeInvalidValue, "model holds characters that cannot be printed")
	}
	at := strings.LastIndexByte(name, '@')
	if at < 0 {
		return ModelName{Base: name}, nil
	}
	if name[at+1:] == Auto && at > 0 {
		return ModelName{Base: name[:at], Auto: true}, nil
	}
	ratio, err := ParseRatio(name[at+1:])
	if err != nil {
		return ModelName{}, Invalid("model", CodeInvalidRatio, "model %q: %s", name, err)
	}
	if at == 0 {
		return ModelName{}, Invalid("model", CodeInvalidValue, "model %q has no name before its ratio", name)
	}
	return ModelName{Base: name[:at], Ratio: ratio, Explicit: true}, nil
}

// ParseRatio reads a ratio written as a plain decimal: "0", or "0." and up to MaxRatioDecimals digits, at most MaxRatio.
// Signs, exponents, hexadecimal, NaN and everything else that strconv would take are refused.
func ParseRatio(text string) (float64, error) {
	whole, fraction, point := strings.Cut(text, ".")
	switch {
	case text == "":
		return 0, fmt.Errorf("the ratio is empty, want a decimal such as 0.2")
	case whole != "0" || (point && fraction == "") || strings.Trim(fraction, "0123456789") != "":
		return 0, fmt.Errorf("ratio %q is not a plain decimal from 0 to %g, such as 0.2", text, MaxRatio)
	case len(fraction) > MaxRatioDecimals:
		return 0, fmt.Errorf("ratio %q has more than %d decimals", text, MaxRatioDecimals)
	}
	ratio, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("ratio %q is not a number", text)
	}
	if ratio > MaxRatio {
		return 0, fmt.Errorf("ratio %q is above %g", text, MaxRatio)
	}
	return ratio, nil
}
