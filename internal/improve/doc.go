// Package improve makes the startup variant in stages while the server runs: first a quick file, then the file of the
// recipe, then a trained one. A stage replaces the file that answers only if it is better on held-out text.
//
// # Data flow
//
// Plan decides which stages a variant goes through. The catalog calls Improver.Build for the startup variant: Build
// returns the best stage in the store, or makes the first one. Improver.Run then makes the later stages in order, and
// has the catalog swap in each one that is better. A Maker provides files, figures and weights. Builds is the Maker that
// uses internal/variant.
//
// # State
//
// The package stores nothing itself. A stage's file and figures are stored values, each under its own key. Build and Run
// decide from these values, by the pure function Better. So a restarted process continues where the last one stopped,
// and replicas that share a store use each other's results.
//
// # Concurrency
//
// Build may be called from several goroutines. Start is called once. The catalog calls Making while it holds its mutex.
// Making cancels the stage that Run computes, so that a variant that a client waits for comes first.
//
// # Errors
//
// Run retries a stage that fails, after pauses and a few times, and then returns its error. If another file has replaced
// the model's file, Run returns at once. In both cases the file that answers stays.
package improve
