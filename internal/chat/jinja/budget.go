package jinja

import (
	"fmt"
	"time"
)

// Limits of a template and of what one rendering may use.
const (
	maxSource   = 256 << 10       // bytes of a template
	maxNesting  = 100             // brackets open at once
	maxParse    = 1000            // blocks and expressions within each other, operators in a row
	maxSteps    = 5_000_000       // nodes that are evaluated, and elements that are looked at
	maxCalls    = 64              // macros within macros
	maxDepth    = 100             // lists within lists
	maxOutput   = 8 << 20         // bytes of the output, and of any text
	maxBytes    = 256 << 20       // bytes of all texts that are made or searched
	maxElements = 100_000         // of a list, or of a range
	maxTime     = 2 * time.Second // for one rendering
)

// LimitError says that a template went beyond one of its limits.
type LimitError struct {
	What  string
	Limit int
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s beyond the limit of %d", e.What, e.Limit)
}

// budget is what one rendering may use. It belongs to the goroutine that renders.
type budget struct {
	deadline time.Time
	steps    int
	bytes    int
	calls    int
	depth    int // of expressions and statements: Go cannot recover from a stack that is used up
}

// step counts n nodes or elements.
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

// spend counts a text of n bytes that is made, or searched.
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

// check reports whether there is time left.
func (b *budget) check() error {
	if time.Now().After(b.deadline) {
		return &LimitError{What: "seconds", Limit: int(maxTime / time.Second)}
	}
	return nil
}

// enter begins a node; leave ends it.
func (b *budget) enter() error {
	if b.depth++; b.depth > maxParse*4 {
		return &LimitError{What: "nesting", Limit: maxParse * 4}
	}
	return b.step(1)
}

func (b *budget) leave() { b.depth-- }

// call begins a macro, or a recursion of a loop; returned ends it.
func (b *budget) call() error {
	if b.calls++; b.calls > maxCalls {
		return &LimitError{What: "macro depth", Limit: maxCalls}
	}
	return nil
}

func (b *budget) returned() { b.calls-- }
