// Package disk stores the values of variants and the assembled GGUF files on this machine's disk.
//
// It is not shared between machines (see package redis) and never decides what to compute.
//
// # Layout
//
// Below the cache directory, directories with mode 0700 and files with mode 0600:
//
//	v1/values/MODEL/KIND/RECIPE/DETAIL   Store: a header line (store.Header, JSON) and the value behind it
//	v1/locks/NAME.lock                   flock of the process that computes a value; NAME is a sha256 of the key
//	v1/locks/NAME.progress               the progress that process published last, JSON
//	v1/files/DIGEST.gguf                 Files: an assembled model
//	v1/files/DIGEST.json                 its size and sha256, written after it
//	v1/files/DIGEST.lock                 flock of the process that assembles it
//
// Files are written under a temporary name, synced and renamed. Reading a value sets its modification time. If a limit
// is set, the values with the oldest times are evicted.
//
// # Concurrency
//
// Everything may be used by several goroutines and processes at once. Locks are flock locks on files that are never
// removed; the system drops them when a process ends, however it ends.
//
// # Errors
//
// Reads verify checksums. A file that is damaged, not regular or stored under a wrong name is deleted, counted
// (store.Hooks.OnCorrupt) and reported as store.ErrCorrupt. Symbolic links are never followed.
package disk
