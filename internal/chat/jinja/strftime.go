package jinja

import (
	"fmt"
	"strings"
	"time"
)

// layouts maps the directives of strftime to Go's time layouts.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'j': "002",
	'm': "01", 'M': "04", 'p': "PM", 'S': "05", 'y': "06", 'Y': "2006", 'Z': "MST", 'z': "-0700",
	'D': "01/02/06", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
}

// plain maps the directives that have no leading zero after a '-' to Go's time layouts.
var plain = map[byte]string{'d': "2", 'm': "1", 'I': "3", 'M': "4", 'S': "5"}

// strftime formats a time with Python's directives in the C locale.
func strftime(now time.Time, format string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		i++
		from := layouts
		if i < len(format) && format[i] == '-' {
			i++
			from = plain
		}
		switch {
		case i >= len(format):
			return "", fmt.Errorf("strftime_now: %q ends within a directive", format)
		case format[i] == '%':
			out.WriteByte('%')
		case from[format[i]] == "":
			return "", fmt.Errorf("strftime_now: unknown directive %%%c", format[i])
		default:
			out.WriteString(now.Format(from[format[i]]))
		}
	}
	return out.String(), nil
}
