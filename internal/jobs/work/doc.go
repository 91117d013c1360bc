// Package work is what each kind of job does: the parent's side, which package variant and the commands call, and the
// child's side, which loads models and computes.
//
// It is apart from package jobs because it links llama.cpp, XLA and Eigen: the mechanics of processes are tested without
// them. kinds.go has one row per kind, and each kind has one file with its payload, the parent's method and the child's
// handler.
//
// # Data flow
//
//	parent: Orders.Run, .Measure, .Recover -> jobs.Parent.Do -> child process
//	child:  Child.Serve -> jobs.Serve -> handler of the kind -> payload and values -> parent
//
// What one job leaves for the next lies in the cache folder: hidden states between refits, the dense model's predictions
// between cards, and the checkpoints of a training. All of it saves time and none of it changes a result.
//
// # Errors
//
// Errors of a child arrive as *jobs.JobError: their text alone survives.
package work
