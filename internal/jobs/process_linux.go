package jobs

import (
	"os"
	"os/exec"
	"syscall"
)

// Self returns a path that starts this binary even if its file has been replaced or removed.
func Self() (string, error) { return "/proc/self/exe", nil }

// DieWithParent makes the kernel kill the child when the thread that started it ends. The caller must lock its
// goroutine to the thread until the child ends.
func DieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// freeze and thaw ignore errors, which mean that the child has ended.
func freeze(child *os.Process) { _ = child.Signal(syscall.SIGSTOP) }

func thaw(child *os.Process) { _ = child.Signal(syscall.SIGCONT) }
