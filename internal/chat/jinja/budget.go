package jinja

import (
	"fmt"
	"time"
)

// The limits of a template and of one rendering.
const (
	maxSource   = 256 << 10       // bytes of a template
	maxNesting  = 100             // open brackets
	maxParse    = 1000            // nested blocks and expressions, consecutive operators
	maxSteps    = 5_000_000       // evaluated nodes and visited elements
	maxCalls    = 64              // nested macro calls
	maxDepth    = 100             // nested lists
	maxOutput   = 8 << 20         // bytes of the output or of any text
	maxBytes    = 256 << 20       // bytes of all texts that are created or searched
	maxElements = 100_000         // of a list or a range
	maxTime     = 2 * time.Second // for one rendering
)

// LimitError means that a template exceeded one of its limits.
type LimitError struct {
	What  string
	Limit int
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s exceeds the limit of %d", e.What, e.Limit)
}

// budget counts what one rendering uses. Only the goroutine that renders may use it.
type budget struct {
	deadline time.Time
	steps    int
	bytes    int
	calls    int
	depth    int // of nested expressions and statements; bounded because Go cannot recover from a stack overflow
}

// step counts n evaluated nodes or visited elements.
func (b *budget) step(n int) error {
	before := b.steps
	if b.steps += n; b.steps > maxSteps {
		return &LimitError{What: "steps", Limit: maxSteps}
	}
	if before>>8 != b.steps>>8 {
		return b.check()
	}
	return nil
}

// spend counts a text of n bytes that is created or searched.
func (b *budget) spend(n int) error {
	if n > maxOutput {
		return &LimitError{What: "size of a value", Limit: maxOutput}
	}
	before := b.bytes
	if b.bytes += n; b.bytes > maxBytes {
		return &LimitError{What: "bytes of all texts", Limit: maxBytes}
	}
	if before>>16 != b.bytes>>16 {
		return b.check()
	}
	return nil
}

// check returns an error if the time is up.
func (b *budget) check() error {
	if time.Now().After(b.deadline) {
		return &LimitError{What: "seconds", Limit: int(maxTime / time.Second)}
	}
	return nil
}

// enter counts the beginning of a nested node; leave counts its end.
func (b *budget) enter() error {
	if b.depth++; b.depth > maxParse*4 {
		return &LimitError{What: "nesting", Limit: maxParse * 4}
	}
	return b.step(1)
}

func (b *budget) leave() { b.depth-- }

// call counts the beginning of a macro call or of a loop's recursion; returned counts its end.
func (b *budget) call() error {
	if b.calls++; b.calls > maxCalls {
		return &LimitError{What: "macro depth", Limit: maxCalls}
	}
	return nil
}

func (b *budget) returned() { b.calls-- }
