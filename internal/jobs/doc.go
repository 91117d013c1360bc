// Package jobs runs a computation in a child process of the same binary. When the child ends, the system gets all its
// memory back. If the child fails, even by a crash in native code, the parent receives an error.
//
// The package does not know what a job computes. A job has a kind, a payload and progress reports as JSON of the
// caller, and values as bytes. Package work defines the kinds.
//
// # Data flow
//
// Parent.Do writes the order as one line to the child's standard input and keeps the pipe open. Large values are files
// in an exchange folder that both sides know. In the child, Serve reads the order and calls the handler of its kind. It
// writes JSON lines to standard output: progress, then a result or an error. The child logs to standard error. When the
// pipe ends, because the parent closed it or died, the child exits immediately. On Linux the kernel also kills the
// child when its parent dies.
//
// # Priority
//
// A child has its parent's priority. A Pauser stops it while requests run and resumes it afterwards. The clock Call.Now
// does not advance while the child is stopped. If requests never end, the child is resumed anyway and works at the
// lowest priority, unless the job is unhurried.
//
// # Errors
//
// If a job fails, Do returns a *JobError with the child's own message. If a child dies without a message, the error has
// its exit status and the last line of its log.
package jobs
