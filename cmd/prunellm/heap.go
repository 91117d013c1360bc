package main

import (
	"os"
	"runtime/debug"

	"prunellm/internal/machine"
)

// heapShare is the part of a control group's memory limit that Go's heap may fill before the collector runs more often. The
// rest is for llama.cpp, XLA and thread stacks, which Go does not see.
const heapShare = 0.8

// limitHeap keeps Go's heap within the memory limit of this process's control groups; without one, or with GOMEMLIMIT set,
// it changes nothing.
func limitHeap() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := machine.MemoryLimit(); limit != machine.Unknown {
		debug.SetMemoryLimit(heapLimit(limit))
	}
}

func heapLimit(limit int64) int64 { return int64(heapShare * float64(limit)) }
