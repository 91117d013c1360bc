// Package jobs runs one computation in a child process of the same binary: its memory goes back to the system when it
// ends, and its failure, even a crash in native code, is an error in the parent.
//
// It knows nothing of what is computed: a job has a kind, a payload and progress that are JSON of the caller, and values
// that are bytes. Package work has the kinds.
//
// # Data flow
//
// Parent.Do writes the order as one line to the child's standard input and keeps the pipe open. Large values go through
// files in an exchange folder that both sides know. Serve, in the child, reads the order, calls the handler of its kind
// and answers with JSON lines on standard output: progress, then a result or an error. The child logs to standard error.
// When the pipe ends, because the parent closed it or died in any way, the child exits at once. On Linux the kernel is
// asked to kill the child with its parent as well.
//
// # Priority
//
// A child has its parent's priority. A Pauser stops it while requests run, and lets it continue afterwards; Call.Now is a
// clock that stands still meanwhile. Requests without end do not stop it for ever, unless it is unhurried: it then works
// beside them at the lowest priority.
//
// # Errors
//
// A job that fails gives a *JobError with the child's own message. A child that dies without a message gives its exit
// status and the last line of its log.
package jobs
