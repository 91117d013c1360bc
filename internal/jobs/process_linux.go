package jobs

import (
	"os"
	"os/exec"
	"syscall"
)

// Self returns a path that starts this binary, even after its file was replaced or removed.
func Self() (string, error) { return "/proc/self/exe", nil }

// DieWithParent has the kernel kill the child when the thread that starts it ends: lock the goroutine to its thread for as
// long as the child must live.
func DieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// freeze and thaw fail for a child that has ended, which needs neither.
func freeze(child *os.Process) { _ = child.Signal(syscall.SIGSTOP) }

func thaw(child *os.Process) { _ = child.Signal(syscall.SIGCONT) }
