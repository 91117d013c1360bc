// Package variant makes variants of a dense model and knows what is stored of them: from a file, a recipe and a ratio to a
// GGUF file that can be served, asking a store before computing anything.
//
// It neither computes gradients itself (a Runner does, in a process of its own) nor loads models, and it knows stores by
// their interface alone (see internal/store/disk and internal/store/redis).
//
// # Data flow
//
// Builder.Build reads scores, or has a Job compute them under a lease; selects the neurons; reads the refitted down matrices of that
// selection or has a Job compute them; and assembles the file unless the file cache has it. Scores do not depend on the
// ratio. Every value has a Key and a checksum, and is decoded and checked against the model before it is used.
//
// # Concurrency
//
// A Builder, a Layered store and Sharing may be used from several goroutines and processes; leases keep the same work from
// being done twice.
//
// # Errors
//
// Damaged or misfitting values are deleted, counted and computed again. A shared store that fails is a warning. The other errors are
// failures of the local disk, of a job, and ratios that the model cannot reach (*prune.RatioError).
package variant
