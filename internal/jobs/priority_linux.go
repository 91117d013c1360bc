package jobs

import (
	"os"
	"strconv"
	"syscall"
)

// lowestPriority is the nicest there is.
const lowestPriority = 19

// giveWay gives this process the lowest priority. Linux keeps a priority per thread and new threads inherit it, so call it
// before native code starts its own; threads that cannot be changed stay as they are.
func giveWay() {
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
