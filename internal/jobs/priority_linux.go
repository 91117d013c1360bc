package jobs

import (
	"os"
	"strconv"
	"syscall"
)

// lowestPriority is the largest nice value.
const lowestPriority = 19

// priorityPasses bounds how often setPriority lists the threads of a child again because new ones may have started.
const priorityPasses = 10

// lower gives a child the lowest priority.
func lower(pid int) { setPriority(pid, lowestPriority) }

// raise gives a child this process's priority and reports whether the system permits that. It needs CAP_SYS_NICE or a
// sufficient RLIMIT_NICE.
func raise(pid int) bool {
	own, err := niceness(os.Getpid())
	return err == nil && setPriority(pid, own)
}

// setPriority sets the priority of all threads of a process and reports whether it succeeded. Linux has a priority per
// thread, and a new thread inherits it from the thread that starts it. setPriority therefore lists the threads until
// all have the priority.
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
			if now, err := niceness(id); err != nil || now == nice { // an error means that the thread has ended
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

// niceness returns the nice value of a thread, -20 to 19. The system call returns 40 to 1, so that no result is
// negative.
func niceness(thread int) (int, error) {
	value, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
	return 20 - value, err
}
