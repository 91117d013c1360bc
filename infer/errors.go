package infer

import (
	"errors"
	"fmt"
)

var (
	// ErrEngine is wrapped by errors of a backend that failed or an engine that is closed. Another engine may serve the
	// request.
	ErrEngine = errors.New("engine unavailable")
	// ErrQueueFull is wrapped by Submit's error when too many requests wait. The client should retry later.
	ErrQueueFull = errors.New("request queue is full")
)

// ContextError reports a prompt that does not fit the context.
type ContextError struct {
	Prompt  int  // tokens of the prompt
	Context int  // tokens a sequence can hold
	Whole   bool // the prompt may fill the context, because nothing is generated
}

// Error implements error.
func (e *ContextError) Error() string {
	if e.Whole {
		return fmt.Sprintf("prompt has %d tokens, the context holds %d", e.Prompt, e.Context)
	}
	return fmt.Sprintf("prompt has %d tokens, the context holds %d including at least one of the answer", e.Prompt, e.Context)
}

// ParameterError reports a field of a Request that is out of range.
type ParameterError struct {
	Field  string // name as in Request or Sampling, in snake case
	Reason string
}

// Error implements error.
func (e *ParameterError) Error() string { return e.Field + ": " + e.Reason }
