// Package store defines a store of computed values: keys, the header in front of a value, leases, and a local store
// layered over a shared one.
//
// It imports no other package of the project and does not know the meaning of values; package variant does. The stores
// themselves are store/disk and store/redis; store/storetest is the suite that both pass.
//
// # Data flow
//
// Layered reads the local store first, then the shared one, and writes to both. Sharing lets one process compute a
// value under a lease while the others wait for it.
//
// # Concurrency
//
// All types may be used from several goroutines and processes. A Layered store owns one background goroutine, which watches
// the shared store and publishes what it lacks; Close waits for it.
//
// # Errors
//
// Callers branch on ErrNotFound, ErrCorrupt, ErrUnavailable and ErrStaleLease. A failure of the shared store is only
// logged as a warning; errors of the local store are returned.
package store
