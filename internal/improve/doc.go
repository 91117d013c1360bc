// Package improve makes the startup variant in stages while the server runs: a quick one, the one of the recipe, a trained
// one. A stage replaces the file that answers only when it is better on held-out text.
//
// # Data flow
//
// Plan says which stages a variant goes through. Improver.Build finds the best stage that the store has, or makes the first
// one; the catalog loads it. Improver.Run then makes the further stages, one after the other, and has the catalog swap each
// in that is better. Files, figures and weights come from a Maker; Builds is the Maker on internal/variant.
//
// # Decisions and actions
//
// Plan, Better and what Build chooses by are pure. What a stage has made, and its figures, are stored values with keys of
// their own. So nothing else need be remembered: a restart decides anew from the same values, and replicas that share a
// store find each other's.
//
// # Concurrency
//
// Build may be called from several goroutines. Run is called once. Making, called under the catalog's mutex, cancels what
// Run computes while a client waits for another variant.
//
// # Errors
//
// A stage that fails is tried again after a pause, a few times, and Run ends with its error. A model file that was
// replaced ends Run at once. The file that answers stays in either case.
package improve
