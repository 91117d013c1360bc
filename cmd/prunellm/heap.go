package main

import (
	"os"
	"runtime/debug"

	"prunellm/internal/machine"
)

// heapShare is the share of the control group's memory limit that Go's heap may fill before the collector runs more often.
// llama.cpp, XLA and thread stacks need the rest, and Go does not count them.
const heapShare = 0.8

// limitHeap sets Go's memory limit from the memory limit of this process's control groups. Without one, or with GOMEMLIMIT
// set, it changes nothing.
func limitHeap() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := machine.MemoryLimit(); limit != machine.Unknown {
		debug.SetMemoryLimit(heapLimit(limit))
	}
}

func heapLimit(limit int64) int64 { return int64(heapShare * float64(limit)) }
