// Package store defines stores of computed values: keys, the header that precedes a value, leases, and a local store
// layered over a shared one.
//
// It imports no other package of the project and does not know what values mean; package variant does. The two stores
// are store/disk and store/redis. store/storetest is the test suite of both.
//
// # Data flow
//
// Layered reads the local store first, then the shared one. It writes to both. Sharing lets one process compute a value
// under a lease while the others wait for it.
//
// # Concurrency
//
// All types may be used from several goroutines and processes. A Layered store has one background goroutine, which
// watches the shared store and publishes values that the shared store does not have. Close waits for it.
//
// # Errors
//
// Callers branch on ErrNotFound, ErrCorrupt, ErrUnavailable and ErrStaleLease. Layered returns errors of the local
// store. It only logs a warning if the shared store fails.
package store
