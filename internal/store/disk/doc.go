// Package disk stores the values of variants and the assembled GGUF files on this machine's disk.
//
// The store is not shared between machines (see package redis for that). It does not decide what to compute.
//
// # Layout
//
// The cache directory contains directories with mode 0700 and files with mode 0600:
//
//	v1/values/MODEL/KIND/RECIPE/DETAIL   Store: a header line (store.Header, JSON) and then the value
//	v1/locks/NAME.lock                   flock of the process that computes a value; NAME is the sha256 of the key
//	v1/locks/NAME.progress               the last progress that this process published, JSON
//	v1/files/DIGEST.gguf                 Files: an assembled model
//	v1/files/DIGEST.json                 its size and sha256, written after it
//	v1/files/DIGEST.lock                 flock of the process that assembles it
//
// The store writes a file under a temporary name, syncs it and renames it. Reading a value sets its modification time.
// If there is a limit, the store evicts the values with the oldest times.
//
// # Concurrency
//
// Several goroutines and processes may use everything at the same time. Locks are flock locks on files that are never
// removed. The system releases the locks of a process when it ends for any reason.
//
// # Errors
//
// Reads verify checksums. If a file is damaged, not regular or stored under a wrong name, the store deletes it, counts
// it (store.Hooks.OnCorrupt) and returns store.ErrCorrupt. It never follows symbolic links.
package disk
