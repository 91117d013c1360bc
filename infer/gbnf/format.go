package gbnf

import (
	"regexp/syntax"
	"strings"
)

// formats are regular expressions for the supported string formats. They allow everything that the named standard allows,
// except strings that common validators refuse: the year 0000, leap seconds, quoted mailboxes, and mail addresses whose domain
// has no dot. Any other format is an annotation, as in JSON Schema.
var formats = map[string]string{
	"date":      "^" + fullDate + "$",
	"time":      "^" + fullTime + "$",
	"date-time": "^" + fullDate + "T" + fullTime + "$",
	"duration":  "^" + duration + "$",
	"email":     `^[A-Za-z0-9!#$%&'*+/=?^_` + "`" + `{|}~-]{1,64}(\.[A-Za-z0-9!#$%&'*+/=?^_` + "`" + `{|}~-]{1,64}){0,8}@(` + label + `\.){1,8}` + lastLabel + "$",
	"hostname":  "^" + hostname + "$",
	"ipv4":      "^" + ipv4 + "$",
	"ipv6":      "^" + ipv6 + "$",
	"uri":       "^" + uri("*", "*", "*") + "$",
	"uuid":      "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
}

// shortURI is the format for URIs with a bounded length. It allows no URI of more than 2,083 characters. Schemas often have this
// bound, and it is too large for an automaton to count.
var shortURI = "^" + uri("{0,300}", "{0,120}", "{0,20}") + "$"

// unbounded removes the bounds of the parts of names and addresses, which would make an automaton large.
var unbounded = strings.NewReplacer("{0,61}", "*", "{1,64}", "+", "{0,8}", "*", "{1,8}", "+")

// formatOf returns the regular expression of a format for strings of at most most characters (-1: no bound). pattern reports
// whether the strings must match a pattern too. It returns "" if the format is not supported.
func formatOf(name string, pattern bool, most int) string {
	text := formats[name]
	expression, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return "" // all strings parse
	}
	_, longest := lengths(expression)
	switch {
	case !pattern && (most < 0 || longest >= 0 && longest <= most):
		return text
	case !pattern && name == "uri":
		return shortURI
	}
	return unbounded.Replace(text)
}

// RFC 3339 with capital letters. It allows the days that each month has, and February 29 only in leap years.
const (
	year     = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
	leapYear = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
	fullDate = "(" + year + "-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|" + leapYear + "-02-29)"
	fullTime = `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`
)

// ISO 8601's durations as in appendix A of RFC 3339. Units may also be skipped: PT1H30S.
const (
	duration = "P((" + days + ")(T(" + seconds + "))?|T(" + seconds + ")|[0-9]{1,9}W)"
	days     = "[0-9]{1,9}Y([0-9]{1,9}M)?([0-9]{1,9}D)?|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}D"
	seconds  = "[0-9]{1,9}H([0-9]{1,9}M)?([0-9]{1,9}S)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S"
)

// RFC 1123: labels of at most 63 characters, the last of which is alphabetic.
const (
	label     = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
	lastLabel = "[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])"
	hostname  = "(" + label + `\.){0,8}` + lastLabel + "?"
)

// IP addresses as in RFC 3986, with RFC 4291's forms of IPv6.
const (
	octet = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
	ipv4  = "(" + octet + `\.){3}` + octet
	h16   = "[0-9A-Fa-f]{1,4}"
	ls32  = "(" + h16 + ":" + h16 + "|" + ipv4 + ")"
	ipv6  = "((" + h16 + ":){6}" + ls32 +
		"|::(" + h16 + ":){5}" + ls32 +
		"|(" + h16 + ")?::(" + h16 + ":){4}" + ls32 +
		"|((" + h16 + ":){0,1}" + h16 + ")?::(" + h16 + ":){3}" + ls32 +
		"|((" + h16 + ":){0,2}" + h16 + ")?::(" + h16 + ":){2}" + ls32 +
		"|((" + h16 + ":){0,3}" + h16 + ")?::" + h16 + ":" + ls32 +
		"|((" + h16 + ":){0,4}" + h16 + ")?::" + ls32 +
		"|((" + h16 + ":){0,5}" + h16 + ")?::" + h16 +
		"|((" + h16 + ":){0,6}" + h16 + ")?::)"
)

// uri returns a regular expression for RFC 3986's URIs, with a host name or address. The arguments are the repetitions for the
// characters of a path, of a query, and of a fragment or the part before the host.
func uri(path, query, other string) string {
	const (
		plain = `[A-Za-z0-9._~!$&'()*+,;=:@-]`
		hex   = "%[0-9A-Fa-f]{2}"
		port  = "(:(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])?)?"
		host  = "(" + ipv4 + `|\[` + ipv6 + `\]|([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.){0,8}[A-Za-z_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)`
	)
	char := "(" + plain + "|" + hex + ")"
	rest := "(" + strings.Replace(plain, "-]", "/-]", 1) + "|" + hex + ")" + path
	extra := "(" + strings.Replace(plain, "-]", "/?-]", 1) + "|" + hex + ")"
	user := "((" + strings.Replace(plain, "@", "", 1) + "|" + hex + ")" + other + "@)?"
	after := "//" + user + host + port + "(/" + rest + ")?|///" + rest + "|/(" + char + rest + ")?|" + char + rest
	return "[A-Za-z][A-Za-z0-9+.-]{0,31}:(" + after + `)(\?` + extra + query + ")?(#" + extra + other + ")?"
}
