package machine

import (
	"math"
	"path"
	"strconv"
	"strings"
)

// largestLimit is above any machine's memory. Version 1 writes a number near 2^63 for "no limit".
const largestLimit = 1 << 60

// availableMemory returns Linux's available memory, or a group's remaining memory if that is less.
func (s system) availableMemory() int64 {
	available := Unknown
	if kib := field(s.read("proc/meminfo"), "MemAvailable:"); kib >= 0 && kib < math.MaxInt64>>10 {
		available = kib << 10
	}
	for _, g := range s.groups("memory") {
		if limit := s.limit(g); limit != Unknown {
			available = least(available, max(limit-s.used(g), 0))
		}
	}
	return available
}

func (s system) memoryLimit() int64 {
	limit := Unknown
	for _, g := range s.groups("memory") {
		limit = least(limit, s.limit(g))
	}
	return limit
}

// limit returns a group's memory limit. With version 1 it includes the smallest limit of the groups above, which a container
// cannot see.
func (s system) limit(g group) int64 {
	if g.version == v2 {
		return bounded(number(s.read(path.Join(g.dir, "memory.max"))))
	}
	own := bounded(number(s.read(path.Join(g.dir, "memory.limit_in_bytes"))))
	return least(own, bounded(field(s.read(path.Join(g.dir, "memory.stat")), "hierarchical_memory_limit")))
}

// used returns the memory of a group without the cached file pages that it frees on demand.
func (s system) used(g group) int64 {
	current, inactive := "memory.current", "inactive_file"
	if g.version == v1 {
		current, inactive = "memory.usage_in_bytes", "total_inactive_file"
	}
	used := number(s.read(path.Join(g.dir, current)))
	cached := field(s.read(path.Join(g.dir, "memory.stat")), inactive)
	return max(used-max(cached, 0), 0)
}

// cpuQuota returns the smallest CPU quota of the process's groups in cores, or 0 without a quota.
func (s system) cpuQuota() float64 {
	least := 0.0
	for _, g := range s.groups("cpu") {
		quota, period := s.quota(g)
		if quota <= 0 || period <= 0 {
			continue
		}
		if cores := float64(quota) / float64(period); least == 0 || cores < least {
			least = cores
		}
	}
	return least
}

// quota returns a group's processor time in each period, both in microseconds; negative without a limit.
func (s system) quota(g group) (quota, period int64) {
	if g.version == v2 {
		fields := strings.Fields(s.read(path.Join(g.dir, "cpu.max")))
		if len(fields) != 2 {
			return Unknown, Unknown
		}
		return number(fields[0]), number(fields[1])
	}
	return number(s.read(path.Join(g.dir, "cpu.cfs_quota_us"))), number(s.read(path.Join(g.dir, "cpu.cfs_period_us")))
}

// least returns the smaller of two known numbers.
func least(a, b int64) int64 {
	if a == Unknown || b != Unknown && b < a {
		return b
	}
	return a
}

func bounded(limit int64) int64 {
	if limit > largestLimit {
		return Unknown
	}
	return limit
}

// number parses a number of at least 0. It returns Unknown for anything else, including "max".
func number(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return Unknown
	}
	return n
}

// field returns the number after a name in a file of lines with a name and a number.
func field(text, name string) int64 {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == name {
			return number(fields[1])
		}
	}
	return Unknown
}
