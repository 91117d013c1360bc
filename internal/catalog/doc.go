// Package catalog holds the variants that a process serves. It makes a variant at the first request for it, loads it,
// lends it to requests and unloads it when it is no longer used.
//
// The package knows neither how to make a variant (see internal/variant) nor how a model runs (see infer): the caller
// passes functions for both. Catalog implements server.Models and server.Admin.
//
// # Data flow
//
// Acquire turns a model name into a ratio and the ratio into a shelf. The first request for a ratio starts a goroutine
// that fills its shelf; every request for it waits for the shelf's done channel. Two ratios that keep the same neurons
// have the same file and share one loaded engine.
//
// # Decisions and actions
//
// Decisions are pure. Limits (what fits, what is unloaded), ledger (what was made), failures, activity (when a speed
// may be measured), backoff and shedding have neither locks, goroutines nor clocks. state holds everything that
// changes. Three types act on it, each with its own goroutines: maker builds and loads, evictor unloads, measurer
// measures. Catalog connects them and serves requests.
//
// # Concurrency
//
// state.mu guards all of state. No method of state locks it: the acting types lock, read or change, and unlock. Under
// it there is no I/O and no callback but Hooks.OnUse. maker.turn serializes builds, measurer.turn measurements. A build
// waits for neither a measurement nor a request. An engine without users is closed by the evictor when it is evicted;
// otherwise the Release of its last user closes it.
package catalog
