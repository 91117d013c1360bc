package llamacpp

import (
	"errors"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
)

func TestCheckMemory(t *testing.T) {
	const mib = 1 << 20
	s := shape{fileBytes: 100 * mib, kvWidth: 30 * 2 * 192, hidden: 576, widest: 1536, vocab: 49152}
	o := Options{ContextSize: 4000, Sequences: 4, BatchSize: 512}
	cache := int64(4096) * 4 * 30 * 2 * 192 * 2
	err := checkMemory(s, o, func() int64 { return 100 * mib })
	var short *MemoryError
	if !errors.As(err, &short) || short.Model != 100*mib || short.Cache != cache || short.Available != 100*mib || short.Compute < 512*49152*4 {
		t.Fatalf("checkMemory: %+v, want a MemoryError with a cache of %d", err, cache)
	}
	if msg := err.Error(); !strings.Contains(msg, "4 x 4000 tokens 360") || !strings.Contains(msg, "100 MiB are available") {
		t.Errorf("message %q", msg)
	}
	need := short.Model + short.Cache + short.Compute
	for available, fits := range map[int64]bool{need: true, need - 1: false, -1: true, math.MaxInt64: true} {
		if err := checkMemory(s, o, func() int64 { return available }); (err == nil) != fits {
			t.Errorf("%d of %d bytes available: %v", available, need, err)
		}
	}
	s.kvWidth = math.MaxInt64 / 2
	if err := checkMemory(s, o, func() int64 { return math.MaxInt64 - 1 }); !errors.As(err, &short) {
		t.Errorf("an overflowing cache: %v", err)
	}
}

// Repeated loading and closing leaks no memory.
func TestReloadingDoesNotLeak(t *testing.T) {
	path := tiny(t, tinymodel.Options{Layers: 8, Hidden: 256})
	cycle := func() {
		m := open(t, path, Options{ContextSize: 1024, Sequences: 4, Threads: 1})
		decode(t, m, infer.Entry{Token: 1, Logits: true}, infer.Entry{Token: 1, Sequence: 3, Logits: true})
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		cycle()
	}
	const cycles = 100
	// One context of this model has 16 MiB of cache: a leak of any part of it shows in every round. A change of the runtime's
	// own memory shows in only one.
	var grown int64
	for range 3 {
		before := resident(t)
		for range cycles {
			cycle()
		}
		grown = resident(t) - before
		t.Logf("%d cycles: %d KiB", cycles, grown>>10)
		if grown <= 32<<20 {
			return
		}
	}
	t.Errorf("%d cycles leaked %d KiB", cycles, grown>>10)
}

// The small objects that llama.cpp allocates for each layer do not leak either.
func TestLayersDoNotLeak(t *testing.T) {
	path := tiny(t, tinymodel.Options{Layers: 96, Hidden: 32, Heads: 2, KVHeads: 1})
	cycle := func() {
		if err := open(t, path, Options{ContextSize: 32, Threads: 1}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		cycle()
	}
	const cycles = 50
	before := resident(t)
	for range cycles {
		cycle()
	}
	grown := resident(t) - before
	t.Logf("%d cycles: %d KiB", cycles, grown>>10)
	// Without release.c, small buffers leak 400 KiB of this model in each cycle.
	if grown > 8<<20 {
		t.Errorf("%d cycles leaked %d KiB", cycles, grown>>10)
	}
}

// resident returns the memory of this process in bytes, after a collection.
func resident(t *testing.T) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
