// Package noplugins keeps go-xla from searching for plugins when a program starts: that search reads the system's list of
// library folders, and prints a line on standard error where no home folder is known. Package xla opens plugins by their
// absolute path alone.
//
// go-xla searches while its package is initialized, unless PJRT_PLUGIN_LIBRARY_PATH is set. This package sets it to nothing
// where it is not. It comes first because of Go's order of initialization (by import path, each package after those that it
// imports): this package waits for syscall alone, and go-xla for os, which waits for packages whose names come behind this.
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
