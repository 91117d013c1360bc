package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// TestMemory checks that a value of 100 KiB or more takes less than a tenth more memory in Redis than its bytes.
func TestMemory(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	s := openTest(t, Options{URL: server.URL})
	for _, size := range []int{6 << 10, 180 << 10, 20 << 20, 100 << 20} {
		server.Do("FLUSHALL")
		if err := s.Put(t.Context(), storetest.Key(store.KindDown, "0.2"), storetest.Value(1, size)); err != nil {
			t.Fatal(err)
		}
		var used int64
		for _, name := range client.Keys(t.Context(), "*").Val() {
			used += client.MemoryUsage(t.Context(), name, 0).Val()
		}
		t.Logf("%d bytes take %d in Redis", size, used)
		if used < int64(size) || used > int64(size)*11/10+2000 {
			t.Errorf("%d bytes take %d in Redis, want less than a tenth more", size, used)
		}
	}
}

// TestHugeEntry uses an entry of 200 MiB where at most 65 KiB are valid. It must not be transferred.
func TestHugeEntry(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindDown, "0.2")
	client := server.Client()
	if err := client.SetRange(t.Context(), entryKey(key), 200<<20, "x").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("Get = %v, want ErrCorrupt", err)
	}
}

// TestTTL checks that entries expire before their chunks, and that reading restarts the TTL of both.
func TestTTL(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	s := openTest(t, Options{URL: server.URL, TTL: time.Hour, ChunkBytes: 50 << 10})
	key := storetest.Key(store.KindDown, "0.2")
	if err := s.Put(t.Context(), key, storetest.Value(1, 100<<10)); err != nil {
		t.Fatal(err)
	}
	names, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(names) != 4 { // entry, index, two chunks
		t.Fatalf("keys: %v, %v", names, err)
	}
	for _, name := range names {
		client.PExpire(t.Context(), name, time.Minute)
	}
	if _, err := s.Get(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		ttl := client.PTTL(t.Context(), name).Val()
		if name == entryKey(key) && ttl > time.Hour || name != entryKey(key) && ttl < time.Hour || ttl < 50*time.Minute {
			t.Errorf("%s has a TTL of %v after a read, want an hour", name, ttl)
		}
	}
	server.Do("FLUSHALL")
	forever := openTest(t, Options{URL: server.URL, TTL: -1, ChunkBytes: 50 << 10})
	if err := forever.Put(t.Context(), key, storetest.Value(2, 100<<10)); err != nil {
		t.Fatal(err)
	}
	if names, err = client.Keys(t.Context(), "*").Result(); err != nil || len(names) != 4 {
		t.Fatalf("keys: %v, %v", names, err)
	}
	for _, name := range names {
		if ttl := client.PTTL(t.Context(), name).Val(); ttl != -1 {
			t.Errorf("%s has a TTL of %v, want none", name, ttl)
		}
	}
}

// TestSizeLimit checks that the least recently used entries of a model are evicted, and no entries of other models.
func TestSizeLimit(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL, MaxModelBytes: 300 << 10})
	other := storetest.Key(store.KindDown, "other")
	other.Model = strings.Repeat("e", 64)
	if err := s.Put(t.Context(), other, storetest.Value(1, 200<<10)); err != nil {
		t.Fatal(err)
	}
	a, b, c := storetest.Key(store.KindDown, "a"), storetest.Key(store.KindDown, "b"), storetest.Key(store.KindDown, "c")
	client := server.Client()
	age := func(key store.Key, milli int) { // sets the time of the last use
		parts := strings.Split(client.HGet(t.Context(), indexKey(key.Model), field(key)).Val(), " ")
		parts[1] = fmt.Sprint(milli)
		client.HSet(t.Context(), indexKey(key.Model), field(key), strings.Join(parts, " "))
	}
	for i, key := range []store.Key{a, b} {
		if err := s.Put(t.Context(), key, storetest.Value(1, 120<<10)); err != nil {
			t.Fatal(err)
		}
		age(key, 1000+i)
	}
	if sizes, err := s.Sizes(t.Context(), a.Model); err != nil || sizes[store.KindDown] != 240<<10 {
		t.Fatalf("Sizes = %v, %v, want %d of %s", sizes, err, 240<<10, store.KindDown)
	}
	if _, err := s.Get(t.Context(), a); err != nil { // b is now the least recently used
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), c, storetest.Value(1, 120<<10)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		key   store.Key
		there bool
	}{{a, true}, {b, false}, {c, true}, {other, true}} {
		if _, err := s.Get(t.Context(), want.key); (err == nil) != want.there {
			t.Errorf("Get(%s) = %v, want it found: %v", want.key, err, want.there)
		}
	}
}

// TestForeignIndex writes fields that are not valid into the index. They must be skipped and must not cause anything to
// be deleted.
func TestForeignIndex(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL, MaxModelBytes: 1})
	key := storetest.Key(store.KindPlan, "0.2")
	id := strings.Repeat("a", 32)
	client := server.Client()
	client.HSet(t.Context(), indexKey(key.Model), "plan:r1:x", "lots", "../../x", "1 1 "+id+" 1", "plan:r1:y", "1 1 "+id+" 99999999",
		"plan:r1:z", "99999999999999999999 1 "+id+" 1", "plan:r1:gone", "5 1 "+id+" 1", "plan:r1:-", strings.Repeat("1", 1<<20))
	if err := s.Put(t.Context(), key, []byte("plan")); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.List(t.Context(), key.Model, key.Kind); err != nil || !slices.Equal(keys, []store.Key{key}) {
		t.Fatalf("List = %v, %v, want only the entry that exists", keys, err)
	}
	if client.HExists(t.Context(), indexKey(key.Model), "plan:r1:gone").Val() {
		t.Error("the index keeps an entry that no longer exists")
	}
}

// TestValueLimit checks that a value above the limit can be neither written nor read.
func TestValueLimit(t *testing.T) {
	server := redistest.Start(t)
	large := openTest(t, Options{URL: server.URL})
	small := openTest(t, Options{URL: server.URL, MaxValueBytes: 1000})
	key := storetest.Key(store.KindPlan, "0.2")
	if err := small.Put(t.Context(), key, make([]byte, 1001)); err == nil {
		t.Error("Put above the limit succeeds")
	}
	if err := large.Put(t.Context(), key, make([]byte, 1001)); err != nil {
		t.Fatal(err)
	}
	if _, err := small.Get(t.Context(), key); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Get above the limit = %v, want ErrCorrupt", err)
	}
}
