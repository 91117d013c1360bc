package jobs

import (
	"os"
	"os/exec"
	"syscall"
)

// Self returns a path that starts this binary, even after its file was replaced or removed.
func Self() (string, error) { return "/proc/self/exe", nil }

// DieWithParent makes the kernel kill the child when the thread that starts it ends. Lock the goroutine to its thread
// for the child's life.
func DieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// freeze and thaw fail if the child has ended, which is harmless.
func freeze(child *os.Process) { _ = child.Signal(syscall.SIGSTOP) }

func thaw(child *os.Process) { _ = child.Signal(syscall.SIGCONT) }
