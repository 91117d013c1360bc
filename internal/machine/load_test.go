package machine

import (
	"testing"
	"time"
)

func TestOthers(t *testing.T) {
	moment := func(stat, own string) Times {
		return tree(map[string]string{"proc/stat": stat, "proc/self/stat": own}).times()
	}
	before := moment("cpu  100 10 20 900 5 1 2 3 40 0\ncpu0 1\ncpu1 2\nintr 5\n", "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 30 20 0 0")
	after := moment("cpu  300 10 40 950 5 1 2 83 40 0\ncpu0 1\ncpu1 2\nintr 5\n", "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 110 40 0 0")
	if before.cores != 2 || before.busy != 1360*time.Millisecond || before.own != 500*time.Millisecond {
		t.Fatalf("times = %+v, want 2 cores, 1.36 s and 0.5 s", before)
	}
	after.at = before.at.Add(2 * time.Second)
	if busy, _, ok := before.Others(after); !ok || busy != 1 {
		t.Errorf("Others = %v, %v, want one core", busy, ok)
	}
	for name, unknown := range map[string]Times{
		"nothing": moment("", ""), "no process": moment("cpu 1 2\ncpu0 1\n", "7 (a"), "no cores": moment("cpu 1 2\n", "7 (a) R 1 2 3 4 5 6 7 8 9 10 30 20"),
	} {
		unknown.at = before.at
		if _, _, ok := unknown.Others(after); ok {
			t.Errorf("%s: known", name)
		}
	}
	if now := Now(); now.cores < 1 {
		t.Skip("the kernel does not report processor times")
	}
}
