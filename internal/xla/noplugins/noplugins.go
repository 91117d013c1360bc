// Package noplugins keeps go-xla from searching for plugins when a program starts: that search reads the system's list
// of library folders, and prints a line on standard error without a home folder. Package xla opens plugins by their
// absolute path alone.
//
// go-xla searches during its package initialization, unless PJRT_PLUGIN_LIBRARY_PATH is set. This package sets an unset
// variable to "". Go's order of initialization (by import path, each package after its imports) puts it first: this
// package imports syscall alone; go-xla imports os, which imports packages whose names come after this one's.
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
