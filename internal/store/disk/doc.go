// Package disk keeps on this machine's disk what variants are made of, and the assembled GGUF files themselves.
//
// It is not shared between machines (see redisstore) and it never decides what to compute.
//
// # Layout
//
// Below the cache directory, directories with mode 0700 and files with mode 0600:
//
//	v1/values/MODEL/KIND/RECIPE/DETAIL   Store: a header line (variant.Header, JSON) and the value behind it
//	v1/locks/NAME.lock                   flock of whoever computes a value; NAME is a sha256 of the key
//	v1/locks/NAME.progress               what that process published last, JSON
//	v1/files/DIGEST.gguf                 Files: an assembled model
//	v1/files/DIGEST.json                 its size and sha256, written after it
//	v1/files/DIGEST.lock                 flock of the process that assembles it
//
// Files are written under a temporary name, synced and renamed. A value's use sets its modification time, by which the
// least recently used ones are removed when a limit is set.
//
// # Concurrency
//
// Everything may be used by several goroutines and processes at once. Locks are flock locks on files that are never
// removed; the system drops them when a process ends, however it ends.
//
// # Errors
//
// What is read back is verified. A file that is damaged, is no regular file or does not belong where it lies is deleted,
// counted (store.Hooks.OnCorrupt) and reported as store.ErrCorrupt. Symbolic links are never followed.
package disk
