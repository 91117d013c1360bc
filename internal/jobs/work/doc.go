// Package work implements the kinds of jobs. It has the parent's side, which package variant and the commands call, and
// the child's side, which loads models and computes.
//
// It links llama.cpp, XLA and Eigen. Package jobs is separate so that its tests need none of them. kinds.go has one row
// per kind. Each kind has one file with its payload, the parent's method and the child's handler.
//
// # Data flow
//
//	parent: Orders.Run, .Measure, .Recover -> jobs.Parent.Do -> child process
//	child:  Child.Serve -> jobs.Serve -> handler of the kind -> payload and values -> parent
//
// Jobs leave files for later jobs in the cache folder. These are hidden states for the next refit, the dense model's predictions
// for the next card, and checkpoints of training. The files save time and never change a result.
//
// # Errors
//
// Errors of a child arrive as *jobs.JobError. Only their text is preserved.
package work
