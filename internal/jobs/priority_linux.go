package jobs

import (
	"os"
	"strconv"
	"syscall"
)

// lowestPriority is the largest nice value.
const lowestPriority = 19

// priorityPasses bounds how often the threads of a child are listed anew, because some started meanwhile.
const priorityPasses = 10

// lower gives a child the lowest priority.
func lower(pid int) { setPriority(pid, lowestPriority) }

// raise gives a child this process's priority and reports whether the system permits it: with CAP_SYS_NICE, or where
// RLIMIT_NICE is high enough.
func raise(pid int) bool {
	own, err := niceness(os.Getpid())
	return err == nil && setPriority(pid, own)
}

// setPriority sets the priority of all threads of a process and reports whether they have it. Linux keeps a priority per
// thread, and new threads inherit it from the one that starts them: the threads are listed until none has another.
func setPriority(pid, nice int) bool {
	for range priorityPasses {
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			return true // the process has ended
		}
		same := true
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				continue
			}
			if now, err := niceness(id); err != nil || now == nice { // a thread that ended has none
				continue
			}
			same = false
			if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, nice); err != nil && err != syscall.ESRCH {
				return false
			}
		}
		if same {
			return true
		}
	}
	return false
}

// niceness returns the priority of a thread, -20 to 19. The system call returns 40 to 1, so that no value is negative.
func niceness(thread int) (int, error) {
	value, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
	return 20 - value, err
}
