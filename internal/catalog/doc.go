// Package catalog holds the variants that a process serves. It has a variant made at the first request for it, loads it,
// hands it to requests and unloads it when it is no longer used.
//
// The package knows neither how a variant is made (see internal/variant) nor how a model runs (see infer): the caller
// gives functions for both. Catalog implements server.Models and server.Admin.
//
// # Data flow
//
// Acquire turns a model name into a ratio and the ratio into a shelf. The first request for a ratio starts one goroutine
// that fills its shelf; every request for it waits for the shelf's done channel. Two ratios that keep the same neurons
// have the same file, and share one loaded engine.
//
// # Who decides, who acts
//
// Decisions are pure: Limits (what fits, what is unloaded), ledger (what was made), failures, activity (when a speed may
// be measured), backoff and shedding have neither locks, goroutines nor clocks. state holds what changes. Three types
// act on it, each with goroutines of its own: maker builds and loads, evictor unloads, measurer measures. Catalog wires
// them and answers requests.
//
// # Concurrency
//
// state.mu guards all of state. No method of state takes it: the acting types lock, change or ask, and unlock. No callback but
// Hooks.OnUse, and no I/O, runs under it. Builds are serialized by maker.turn, measurements by measurer.turn; a build may
// wait for neither a measurement nor a request. An engine is closed by whoever sees it evicted and without users: the
// evictor if it was idle, otherwise the Release of its last user.
package catalog
