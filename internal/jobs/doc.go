// Package jobs runs one computation in a child process of the same binary. Its memory returns to the system when it
// ends, and its failure, even a crash in native code, is an error in the parent.
//
// The package does not know what a job computes: a job has a kind, a payload and progress that are the caller's JSON,
// and values that are bytes. Package work has the kinds.
//
// # Data flow
//
// Parent.Do writes the order as one line to the child's standard input and keeps the pipe open. Large values go through
// files in an exchange folder that both sides know. Serve, in the child, reads the order, calls the handler of its kind
// and responds with JSON lines on standard output: progress, then a result or an error. The child logs to standard
// error. When the pipe ends, because the parent closed it or died, the child exits at once. On Linux the kernel also
// kills the child with its parent.
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
