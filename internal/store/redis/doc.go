// Package redis shares values and leases between replicas through a Redis server, Sentinel or Cluster.
//
// It never decides what to compute and is never the only copy of anything: see store.Layered, which puts the disk in
// front of it and goes on without it. docs/operate/redis.md describes every key and its bytes.
//
// # Data flow
//
// A small value lies behind its header (variant.Header) in one string. A larger one lies in chunks, plain strings with
// nothing but its bytes, whose names contain the random id of this write; the header alone, written last by a script
// that checks the lease and that all chunks are there, makes them valid. Chunks without a header expire.
//
// # Concurrency
//
// Everything may be used by several goroutines, processes and machines at once. All decisions between replicas are taken
// by scripts inside Redis, with its clock.
//
// # Errors
//
// What cannot be reached or does not answer within a short time wraps variant.ErrUnavailable. A value that is damaged,
// incomplete, of another type or version is deleted, counted and reported as store.ErrCorrupt. No error and no log line
// holds the URL or the password.
package redis
