package main

import (
	"math"
	"runtime/debug"
	"testing"

	"prunellm/internal/machine"
)

func TestHeapLimit(t *testing.T) {
	if got := heapLimit(400 << 20); got != 320<<20 {
		t.Errorf("a heap of %d MiB in a group of 400, want 320", got>>20)
	}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(math.MaxInt64)
	t.Setenv("GOMEMLIMIT", "1GiB") // as set before the process started
	if limitHeap(); debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Error("GOMEMLIMIT does not win")
	}
	t.Setenv("GOMEMLIMIT", "")
	want := int64(math.MaxInt64)
	if limit := machine.MemoryLimit(); limit != machine.Unknown {
		want = heapLimit(limit)
	}
	if limitHeap(); debug.SetMemoryLimit(-1) != want {
		t.Errorf("heap limit %d, want %d", debug.SetMemoryLimit(-1), want)
	}
}
