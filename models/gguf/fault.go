package gguf

import (
	"fmt"
)

// FormatError lists the faults of a file's content. There is at least one.
type FormatError struct {
	Faults []string // one line each
	More   int      // number of faults that are not listed
}

// Error returns the first fault and the number of further ones.
func (e *FormatError) Error() string {
	if others := len(e.Faults) - 1 + e.More; others > 0 {
		return fmt.Sprintf("%s (and %d more faults)", e.Faults[0], others)
	}
	return e.Faults[0]
}

func (e *FormatError) add(format string, args ...any) {
	if len(e.Faults) == maxFaults {
		e.More++
		return
	}
	e.Faults = append(e.Faults, fmt.Sprintf(format, args...))
}
