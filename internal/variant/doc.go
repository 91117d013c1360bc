// Package variant makes variants of a dense model: from a file, a recipe and a ratio to a GGUF file that can be served. It
// asks a store before it computes anything.
//
// Gradients belong to a Runner, which computes them in a child process. The package loads no model into an engine, and
// knows stores by their interface alone (internal/store/disk and internal/store/redis implement it).
//
// # Data flow
//
// Builder.Build reads the scores, or has a Job compute them under a lease, and plans the neurons to keep. It reads the
// refitted down_proj matrices of that plan, or has a Job compute them. It assembles the file unless the file cache has it.
// Scores do not depend on the ratio. Every value has a Key and a checksum. Build decodes it and checks it against the
// model before use.
//
// # Concurrency
//
// Several goroutines and processes may use a Builder, store.Layered and store.Sharing; leases keep them from computing
// the same value twice.
//
// # Errors
//
// Build deletes, counts and recomputes values that are damaged or do not fit the model. It logs a warning when the shared
// store fails. It returns failures of the local disk and of jobs, and ratios that the model cannot reach
// (*prune.RatioError).
package variant
