package jobs

import (
	"os"
	"strconv"
	"syscall"
)

// lowestPriority is the nicest there is.
const lowestPriority = 19

// GiveWay lets everything else on the machine go first. Linux keeps a priority for each thread and new threads inherit
// it, so it belongs before native code starts its own; threads that cannot be changed stay as they are.
func GiveWay() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, lowestPriority)
		}
	}
}
