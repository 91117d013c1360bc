// Package redis shares values and leases between replicas through a Redis server, Sentinel or Cluster.
//
// It never decides what to compute and never holds the only copy of a value: store.Layered has the disk in front of it
// and works without it. docs/operate/redis.md describes every key and its bytes.
//
// # Data flow
//
// A small value follows its header (store.Header) in one string. A larger one is cut into chunks: plain strings whose
// names contain the random id of this write. A script checks the lease and that all chunks exist. Then it writes the
// header, which makes the chunks valid. Chunks without a header expire.
//
// # Concurrency
//
// Everything may be used by several goroutines, processes and machines at once. Scripts inside Redis make all decisions
// between replicas, by its clock.
//
// # Errors
//
// An unreachable server, or one that does not respond in time, gives an error that wraps store.ErrUnavailable. A value
// that is damaged, incomplete, or of another type or version is deleted, counted and reported as store.ErrCorrupt. No
// error and no log line contains the URL or the password.
package redis
