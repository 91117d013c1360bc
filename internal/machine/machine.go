// Package machine returns how much memory and how many processor cores this process may use. It considers the machine's
// resources and the limits of the process's control groups, which containers and systemd (MemoryMax, CPUQuota) set.
//
// It reads Linux's files and sets nothing. On other systems the memory is unknown, and Go reports the cores.
//
// # Control groups
//
// A limit applies to a group and all groups below it. The process's limit is therefore the smallest one along its path: from
// its own group, which /proc/self/cgroup names, up to the mount of the hierarchy. The package supports version 1, version 2
// and both together. A container sees its own group as the mount's root.
package machine

import (
	"io/fs"
	"math"
	"os"
	"runtime"
)

// Unknown means that a number of bytes is unknown or unlimited.
const Unknown int64 = -1

// AvailableMemory returns the bytes that this process can still allocate before the machine, or one of its groups, runs
// out of memory. Cached file pages count as free.
func AvailableMemory() int64 { return here().availableMemory() }

// MemoryLimit returns the smallest memory limit of this process's groups, or Unknown without a limit.
func MemoryLimit() int64 { return here().memoryLimit() }

// Cores returns the number of threads that should compute at the same time, at least 1. It is the smaller of Go's number, which
// follows the affinity mask and GOMAXPROCS, and the CPU quota of the groups, rounded to the nearest core. Go itself rounds a
// quota up and never uses fewer than two cores for it. Threads that meet at barriers would then wait for the one whose time is
// used up.
func Cores() int { return here().cores(runtime.GOMAXPROCS(0)) }

// HasCPUQuota reports whether a group limits this process to less processor time than that of the cores it may run on.
func HasCPUQuota() bool { return here().hasCPUQuota(runtime.NumCPU()) }

// system is a machine as its files describe it.
type system struct{ files fs.FS }

func here() system { return system{files: os.DirFS("/")} }

// hasCPUQuota reports whether a quota is less than the time of n cores.
func (s system) hasCPUQuota(n int) bool {
	quota := s.cpuQuota()
	return quota > 0 && quota < float64(n)
}

// cores returns the smaller of n and the CPU quota, at least 1.
func (s system) cores(n int) int {
	quota := s.cpuQuota()
	if quota <= 0 || quota >= float64(n) {
		return max(n, 1)
	}
	return max(int(math.Round(quota)), 1)
}
