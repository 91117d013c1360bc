// Package work is what each job does, in the child process and on the parent's side of it.
package work
