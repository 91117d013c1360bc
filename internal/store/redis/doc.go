// Package redis shares values and leases between replicas through a Redis server, Sentinel or Cluster.
//
// It does not decide what to compute. It never holds the only copy of a value, because store.Layered also writes to the
// disk and works without Redis. docs/operate/redis.md describes every key and its bytes.
//
// # Data flow
//
// A small value follows its header (store.Header) in one string. A larger value is split into chunks, which are plain
// strings whose names contain the random id of the write. A script checks the lease and that all chunks exist. Then it
// writes the header, which makes the chunks valid. Chunks without a header expire.
//
// # Concurrency
//
// Several goroutines, processes and machines may use everything at the same time. Scripts inside Redis make all
// decisions between replicas and use Redis's clock.
//
// # Errors
//
// If the server is unreachable or does not respond in time, the error wraps store.ErrUnavailable. If a value is
// damaged, incomplete, or of another type or version, the store deletes it, counts it and returns store.ErrCorrupt. No
// error and no log line contains the URL or the password.
package redis
