package redis

import (
	"strings"
	"testing"

	"prunellm/internal/store"
	"prunellm/internal/store/storetest"
)

// TestKeyNames checks the names that docs/operate/redis.md documents.
func TestKeyNames(t *testing.T) {
	key := storetest.Key(store.KindPlan, "")
	tag := "prunellm:v1:{" + storetest.Model + "}:"
	for got, want := range map[string]string{
		entryKey(key): "plan:r1:-", indexKey(key.Model): "index", leaseKey(key): "plan:r1:-:lease", fenceKey(key): "plan:r1:-:fence",
		progressKey(key): "plan:r1:-:progress", channel(key.Model): "published",
		chunkKeys(key, store.Header{ID: "ab", Chunks: 2})[1]: "plan:r1:-:chunk:ab:1",
	} {
		if got != tag+want {
			t.Errorf("name %q, want %q", got, tag+want)
		}
	}
}

// FuzzUsage parses index values, which come from Redis. A value that is accepted must name a bounded number of this
// entry's chunks.
func FuzzUsage(f *testing.F) {
	id := strings.Repeat("a", 32)
	for _, s := range []string{"5 1700000000000 " + id + " 3", "", "-1 1 " + id + " 0", "1 1 " + id + " 99999", "1 1 ../ 1", "9e9 1 " + id + " 1"} {
		f.Add(s)
	}
	key := storetest.Key(store.KindPlan, "0.2")
	f.Fuzz(func(t *testing.T, s string) {
		used, ok := parseUsage(s)
		if !ok {
			return
		}
		if used.sizeBytes < 0 || used.sizeBytes > store.MaxValueBytes {
			t.Errorf("%q gives %d bytes", s, used.sizeBytes)
		}
		names := chunkKeys(key, used.header)
		if len(names) > maxIndexedChunks {
			t.Errorf("%q names %d chunks", s, len(names))
		}
		for _, name := range names {
			if rest, ok := strings.CutPrefix(name, entryKey(key)+":chunk:"); !ok || strings.Trim(rest, "0123456789abcdef:") != "" {
				t.Errorf("%q names %q", s, name)
			}
		}
	})
}

func FuzzKeyFromField(f *testing.F) {
	f.Add("plan:r1:-")
	f.Add("plan:r1:0.2:chunk")
	f.Fuzz(func(t *testing.T, s string) {
		if key, err := keyFromField(storetest.Model, s); err == nil && field(key) != s {
			t.Errorf("field %q becomes %q", s, field(key))
		}
	})
}
