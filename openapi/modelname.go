package openapi

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

const (
	// MaxRatio is the largest ratio in a model name. A model's own limit is lower, because only its MLPs are pruned;
	// the error for a larger ratio names that limit.
	MaxRatio = 0.95
	// MaxRatioDecimals is the maximum number of decimals in a ratio.
	MaxRatioDecimals = 9
	// MaxModelNameBytes is the maximum length of a model name.
	MaxModelNameBytes = 256
)

// Auto replaces the ratio if the server should choose it.
const Auto = "auto"

// AnyModel is a base name that every server accepts for its own model, for clients that must send a name without
// knowing one.
const AnyModel = "default"

// ModelName is a model's name in a request: "name", "name@ratio" or "name@auto".
type ModelName struct {
	Base     string  // without the ratio; empty if the request names no model
	Ratio    float64 // share of all parameters removed, 0 to MaxRatio
	Explicit bool    // the name has a ratio; otherwise the startup ratio applies
	Auto     bool    // the server chooses the ratio by its latency limits
}

// String returns the name as a client would write it, with the ratio in its shortest form.
func (n ModelName) String() string {
	if n.Auto {
		return n.Base + "@" + Auto
	}
	if !n.Explicit {
		return n.Base
	}
	return n.Base + "@" + FormatRatio(n.Ratio)
}

// FormatRatio returns a ratio in its shortest decimal form, as in model names: 0.2.
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
		return ModelName{}, Invalid("model", CodeInvalidValue, "model is empty; /v1/models lists the models")
	case len(name) > MaxModelNameBytes:
		return ModelName{}, Invalid("model", CodeInvalidValue, "model has %d bytes; the limit is %d", len(name), MaxModelNameBytes)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return ModelName{}, Invalid("model", CodeInvalidValue, "model contains unprintable characters")
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

// ParseRatio reads a ratio written as a plain decimal: "0", or "0." and up to MaxRatioDecimals digits, at most
// MaxRatio. It refuses signs, exponents, hexadecimal, NaN and everything else that strconv would accept.
func ParseRatio(text string) (float64, error) {
	whole, fraction, point := strings.Cut(text, ".")
	switch {
	case text == "":
		return 0, fmt.Errorf("the ratio is empty; it must be a decimal such as 0.2")
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

// MaxModelNames is the maximum number of names of a server's model.
const MaxModelNames = 16

// CheckModelNames returns an error if a list cannot be the names of a server's model.
func CheckModelNames(names []string) error {
	if len(names) > MaxModelNames {
		return fmt.Errorf("there are %d names; the limit is %d", len(names), MaxModelNames)
	}
	seen := map[string]bool{AnyModel: true}
	for _, name := range names {
		parsed, err := parseModelName(name)
		switch {
		case strings.Contains(name, "@"):
			return fmt.Errorf("%.80q has an @, which separates names from ratios", name)
		case err != nil:
			return fmt.Errorf("%.80q: %s", name, err.Message)
		case len(name) > maxOwnNameBytes:
			return fmt.Errorf("%.80q has %d bytes; the limit is %d", name, len(name), maxOwnNameBytes)
		case seen[parsed.Base]:
			return fmt.Errorf("%q is given twice, or is %q, which every model answers to", name, AnyModel)
		}
		seen[parsed.Base] = true
	}
	return nil
}

// maxOwnNameBytes leaves room for a ratio behind the name.
const maxOwnNameBytes = MaxModelNameBytes - len("@0.") - MaxRatioDecimals
