package machine

import (
	"math"
	"os"
	"runtime/debug"
	"testing"
)

func TestHeapLimit(t *testing.T) {
	if got := heapLimit(400 << 20); got != 320<<20 {
		t.Errorf("a heap of %d MiB in a group of 400, want 320", got>>20)
	}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(math.MaxInt64)
	t.Setenv("GOMEMLIMIT", "1GiB") // as if set before the process started
	if LimitHeap(os.Getenv); debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Error("GOMEMLIMIT does not override the limit")
	}
	t.Setenv("GOMEMLIMIT", "")
	want := int64(math.MaxInt64)
	if limit := MemoryLimit(); limit != Unknown {
		want = heapLimit(limit)
	}
	if LimitHeap(os.Getenv); debug.SetMemoryLimit(-1) != want {
		t.Errorf("heap limit %d, want %d", debug.SetMemoryLimit(-1), want)
	}
}
