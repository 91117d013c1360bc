package machine

import "runtime/debug"

// heapShare is the share of the control group's memory limit that Go's heap may fill before the collector runs more often.
// llama.cpp, XLA and thread stacks need the rest, and Go does not count them.
const heapShare = 0.8

// LimitHeap sets Go's memory limit from the memory limit of this process's control groups. Without one, or with GOMEMLIMIT
// set, it changes nothing. getenv is os.Getenv.
func LimitHeap(getenv func(string) string) {
	if getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := MemoryLimit(); limit != Unknown {
		debug.SetMemoryLimit(heapLimit(limit))
	}
}

func heapLimit(limit int64) int64 { return int64(heapShare * float64(limit)) }
