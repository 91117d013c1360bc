//go:build !linux

package jobs

import (
	"os"
	"os/exec"
)

// Self returns the path of this binary's file.
func Self() (string, error) { return os.Executable() }

// DieWithParent does nothing on this system. The child still exits when its standard input ends.
func DieWithParent(*exec.Cmd) {}

func freeze(*os.Process) {}

func thaw(*os.Process) {}
