// Package variant makes variants of a dense model: from a model file, a recipe and a ratio it makes a GGUF file to
// serve. It looks in a store before it computes anything.
//
// A Runner computes gradients in a child process. The package does not load models into an engine. It uses stores only
// through their interface, which internal/store/disk and internal/store/redis implement.
//
// # Data flow
//
// Builder.Build reads the scores, or has a Job compute them under a lease, and plans the neurons to keep. It reads the
// refitted down_proj matrices of that plan, or has a Job compute them. It assembles the file unless the file cache has
// it. Scores do not depend on the ratio, so all ratios share them. Every stored value has a Key and a checksum. Build
// decodes it and checks it against the model before use.
//
// # Concurrency
//
// Several goroutines may use a Builder, store.Layered and store.Sharing, and several processes may use the same store.
// Leases keep them from computing the same value twice.
//
// # Errors
//
// Build deletes, counts and recomputes values that are damaged or do not fit the model. If the shared store fails, it
// only logs a warning. It returns errors of the local disk and of jobs, and a *prune.RatioError for a ratio that the
// model cannot reach.
package variant
