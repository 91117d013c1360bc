// Package catalog manages the variants that a process serves. It makes and loads a variant at the first request for it,
// lends it to requests, and unloads it when it is no longer used.
//
// The package does not know how to make a variant (see internal/variant) or how to run a model (see infer). The caller
// passes functions for both. Catalog implements server.Models and server.Admin.
//
// # Data flow
//
// Acquire maps a model name to a ratio, and the ratio to a shelf. The first request for a ratio starts a goroutine that
// fills its shelf. Every request for the ratio waits for the shelf's done channel. Two ratios that keep the same
// neurons have the same file and share one loaded engine.
//
// # Decisions and actions
//
// The types that decide are Limits (what fits, what is unloaded), ledger (what was made), failures, activity (when a
// speed may be measured), backoff and shedding. They have no locks, goroutines or clocks. state holds everything that
// changes. Three types act on it, each with its own goroutines: maker builds and loads, evictor unloads, measurer
// measures. Catalog connects them and serves requests.
//
// # Concurrency
//
// state.mu guards all of state. No method of state locks it; the acting types do. While it is held, there is no I/O and
// no callback except Hooks.OnUse and OnMake. maker.turn serializes builds, and measurer.turn serializes measurements. A
// build never waits for a measurement or a request. When an engine is evicted, the evictor closes it if it has no users;
// otherwise its last user closes it.
package catalog
