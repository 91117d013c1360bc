// Package jobs runs one computation in a child process of the same binary: its memory goes back to the system when it
// ends, and its failure, even a crash in native code, is an error here and nothing more.
//
// It knows nothing of what is computed: a job and its progress are JSON that the caller defines.
//
// # Data flow
//
// The parent writes the job as one line to the child's standard input and keeps the pipe open; the child answers with
// JSON lines on standard output (progress, then a result or an error) and logs to standard error. When the pipe ends,
// because the parent closed it or died in any way, the child exits at once. On Linux the kernel is asked to kill the
// child with its parent as well.
//
// # Errors
//
// A job that fails gives a *JobError with the child's own message. A child that dies without a message gives its exit
// status and the last line of its log.
package jobs

import "encoding/json"

// maxLine bounds a line of the protocol in either direction, in bytes.
const maxLine = 1 << 20

// message is one line from the child. Exactly one field is set.
type message struct {
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// JobError is the failure that a child reported itself.
type JobError struct {
	Message string
}

// Error implements error.
func (e *JobError) Error() string { return e.Message }
