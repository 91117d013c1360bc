// Package noplugins prevents go-xla from searching for plugins when a program starts. That search reads the system's list of
// library folders, and prints a line to standard error if there is no home folder. Package xla does not need it, because it opens
// plugins only by their absolute path.
//
// go-xla searches during its package initialization, unless PJRT_PLUGIN_LIBRARY_PATH is set. This package sets the variable to ""
// if it is unset. Go initializes packages by import path, each after its imports. This package comes before go-xla: it imports only
// syscall. go-xla imports os, which imports packages whose paths come after this one's.
package noplugins

import "syscall"

const variable = "PJRT_PLUGIN_LIBRARY_PATH"

var _ = setEmpty()

func setEmpty() error {
	if _, set := syscall.Getenv(variable); set {
		return nil
	}
	return syscall.Setenv(variable, "")
}
