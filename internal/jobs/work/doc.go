// Package work implements each kind of job: the parent's side, which package variant and the commands call, and the
// child's side, which loads models and computes.
//
// It is separate from package jobs because it links llama.cpp, XLA and Eigen: the mechanics of processes are tested
// without them. kinds.go has one row per kind. Each kind has one file with its payload, the parent's method and the
// child's handler.
//
// # Data flow
//
//	parent: Orders.Run, .Measure, .Recover -> jobs.Parent.Do -> child process
//	child:  Child.Serve -> jobs.Serve -> handler of the kind -> payload and values -> parent
//
// Jobs leave files in the cache folder for later ones: hidden states between refits, the dense model's predictions
// between cards, and the checkpoints of a training. All of them save time; none changes a result.
//
// # Errors
//
// Errors of a child arrive as *jobs.JobError: only their text survives.
package work
