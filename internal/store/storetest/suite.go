// Package storetest is the test suite of all implementations of store.Store and store.Leaser.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/store"
)

// Backend is a store under test with a way to damage its entries.
type Backend struct {
	Store store.Store
	// Rewrite replaces the stored bytes of an entry, including its header, with the result of change. It fails the test
	// if there is no entry. If the store has several copies, it rewrites all of them.
	Rewrite func(t *testing.T, key store.Key, change func([]byte) []byte)
}

// Model is the model digest of test keys.
var Model = strings.Repeat("0123456789abcdef", 4)

// Key returns a valid key of the given kind and detail.
func Key(kind store.Kind, detail string) store.Key {
	return store.Key{Model: Model, Kind: kind, Recipe: "r1", Detail: detail}
}

// Value returns sizeBytes of reproducible noise.
func Value(seed uint64, sizeBytes int) []byte {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	value := make([]byte, sizeBytes)
	source.Read(value) // never fails
	return value
}

// Suite checks the contract of store.Store. open must return an empty store that calls the hooks.
func Suite(t *testing.T, open func(t *testing.T, hooks store.Hooks) Backend) {
	plain := func(t *testing.T) store.Store { return open(t, store.Hooks{}).Store }
	t.Run("round trip", func(t *testing.T) { testRoundTrip(t, plain(t)) })
	t.Run("not found", func(t *testing.T) { testNotFound(t, plain(t)) })
	t.Run("overwrite", func(t *testing.T) { testOverwrite(t, plain(t)) })
	t.Run("delete", func(t *testing.T) { testDelete(t, plain(t)) })
	t.Run("list", func(t *testing.T) { testList(t, plain(t)) })
	t.Run("bad keys", func(t *testing.T) { testBadKeys(t, plain(t)) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, plain(t)) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, plain(t)) })
	t.Run("corrupt", func(t *testing.T) { testCorrupt(t, open) })
}

// put and get fail the test on an error.
func put(t *testing.T, st store.Store, key store.Key, value []byte) {
	t.Helper()
	if err := st.Put(t.Context(), key, value); err != nil {
		t.Fatalf("Put(%s, %d bytes) = %v", key, len(value), err)
	}
}

func wantValue(t *testing.T, st store.Store, key store.Key, want []byte) {
	t.Helper()
	got, err := st.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%s) = %v", key, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Get(%s) gives %d bytes that differ from the %d stored ones", key, len(got), len(want))
	}
}

func wantNotFound(t *testing.T, st store.Store, key store.Key) {
	t.Helper()
	if value, err := st.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get(%s) = %d bytes, %v, want ErrNotFound", key, len(value), err)
	}
}

func testRoundTrip(t *testing.T, st store.Store) {
	for _, size := range []int{0, 1, 1000, 64 << 10, 64<<10 + 1, 3 << 20, 33 << 20} {
		key := Key(store.KindDown, fmt.Sprint(size))
		value := Value(1, size)
		put(t, st, key, value)
		if size > 0 {
			value[0] ^= 1 // the store must not keep the slice
			defer func() { value[0] ^= 1 }()
		}
		got, err := st.Get(t.Context(), key)
		if err != nil {
			t.Fatalf("Get of %d bytes: %v", size, err)
		}
		if want := Value(1, size); !bytes.Equal(got, want) {
			t.Fatalf("Get of %d bytes differs from the stored value", size)
		}
		for i := range got { // the value belongs to the caller: writing to it must not change the entry
			got[i] = 0
		}
		wantValue(t, st, key, Value(1, size))
	}
}

func testNotFound(t *testing.T, st store.Store) {
	put(t, st, Key(store.KindPlan, "0.2"), []byte("plan"))
	for _, key := range []store.Key{
		Key(store.KindPlan, "0.3"), Key(store.KindPlan, ""), Key(store.KindCard, "0.2"),
		{Model: strings.Repeat("f", 64), Kind: store.KindPlan, Recipe: "r1", Detail: "0.2"},
		{Model: Model, Kind: store.KindPlan, Recipe: "r2", Detail: "0.2"},
	} {
		wantNotFound(t, st, key)
	}
}

func testOverwrite(t *testing.T, st store.Store) {
	key := Key(store.KindScores, "")
	for i, size := range []int{10, 200 << 10, 5, 100 << 10, 300 << 10, 0} {
		put(t, st, key, Value(uint64(i), size))
		wantValue(t, st, key, Value(uint64(i), size))
	}
}

func testDelete(t *testing.T, st store.Store) {
	key, other := Key(store.KindScores, "a"), Key(store.KindScores, "b")
	put(t, st, key, Value(1, 200<<10))
	put(t, st, other, Value(2, 10))
	for range 2 { // the second time there is no entry, which is not an error
		if err := st.Delete(t.Context(), key); err != nil {
			t.Fatalf("Delete = %v", err)
		}
		wantNotFound(t, st, key)
	}
	wantValue(t, st, other, Value(2, 10))
}

func testList(t *testing.T, st store.Store) {
	want := []store.Key{Key(store.KindPlan, ""), Key(store.KindPlan, "0.2"), Key(store.KindPlan, "0.4")}
	for _, key := range append([]store.Key{Key(store.KindCard, "0.2")}, want...) {
		put(t, st, key, []byte("x"))
	}
	gone := Key(store.KindPlan, "gone")
	put(t, st, gone, []byte("x"))
	if err := st.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	got, err := st.List(t.Context(), Model, store.KindPlan)
	if err != nil {
		t.Fatalf("List = %v", err)
	}
	slices.SortFunc(want, func(a, b store.Key) int { return strings.Compare(a.String(), b.String()) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("List (-want +got):\n%s", diff)
	}
	if got, err := st.List(t.Context(), strings.Repeat("e", 64), store.KindPlan); err != nil || len(got) != 0 {
		t.Fatalf("List of a model without entries = %v, %v", got, err)
	}
	if _, err := st.List(t.Context(), "../..", store.KindPlan); err == nil {
		t.Fatal("List accepts a model that is not a digest")
	}
}

func testBadKeys(t *testing.T, st store.Store) {
	good := Key(store.KindPlan, "0.2")
	for _, change := range []func(*store.Key){
		func(k *store.Key) { k.Model = "" },
		func(k *store.Key) { k.Model = strings.Repeat("G", 64) },
		func(k *store.Key) { k.Kind = "../x" },
		func(k *store.Key) { k.Recipe = "" },
		func(k *store.Key) { k.Recipe = ".." },
		func(k *store.Key) { k.Detail = "a/b" },
		func(k *store.Key) { k.Detail = "a:b" },
		func(k *store.Key) { k.Detail = "a}b" },
		func(k *store.Key) { k.Detail = "a\x00" },
		func(k *store.Key) { k.Detail = strings.Repeat("a", 200) },
	} {
		key := good
		change(&key)
		_, getErr := st.Get(t.Context(), key)
		putErr := st.Put(t.Context(), key, []byte("x"))
		deleteErr := st.Delete(t.Context(), key)
		for operation, err := range map[string]error{"Get": getErr, "Put": putErr, "Delete": deleteErr} {
			if err == nil || errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s(%q) = %v, want an error about the key", operation, key, err)
			}
		}
	}
}

func testCancelled(t *testing.T, st store.Store) {
	key := Key(store.KindPlan, "0.2")
	put(t, st, key, []byte("plan"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := st.Get(ctx, key)
	_, listErr := st.List(ctx, Model, store.KindPlan)
	for operation, err := range map[string]error{
		"Get": getErr, "List": listErr, "Put": st.Put(ctx, key, []byte("other")), "Delete": st.Delete(ctx, key),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s after cancel = %v, want context.Canceled", operation, err)
		}
	}
	wantValue(t, st, key, []byte("plan"))
}

// testConcurrent reads and writes one key concurrently, with values of different lengths. Every read must give one of
// the written values.
func testConcurrent(t *testing.T, st store.Store) {
	const writers, rounds = 4, 8
	key := Key(store.KindDown, "shared")
	values := make([][]byte, writers)
	for i := range values {
		values[i] = Value(uint64(i), 50<<10+i*40<<10) // some inline, some in chunks
	}
	put(t, st, key, values[0])
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			for range rounds {
				if err := st.Put(t.Context(), key, values[i]); err != nil {
					t.Errorf("Put = %v", err)
				}
			}
		})
		wait.Go(func() {
			for range rounds {
				got, err := st.Get(t.Context(), key)
				if err != nil {
					t.Errorf("Get = %v", err)
				} else if !slices.ContainsFunc(values, func(v []byte) bool { return bytes.Equal(v, got) }) {
					t.Errorf("Get gives %d bytes that were never stored", len(got))
				}
			}
		})
	}
	wait.Wait()
}

func testCorrupt(t *testing.T, open func(t *testing.T, hooks store.Hooks) Backend) {
	flip := func(at func(length int) int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at(len(b))] ^= 0x20
			return b
		}
	}
	cases := map[string]func([]byte) []byte{
		"first byte":     flip(func(int) int { return 0 }),
		"last byte":      flip(func(n int) int { return n - 1 }),
		"truncated":      func(b []byte) []byte { return b[:len(b)-1] },
		"half a header":  func(b []byte) []byte { return b[:50] },
		"empty":          func([]byte) []byte { return nil },
		"one more byte":  func(b []byte) []byte { return append(b, 0) },
		"no newline":     func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte(" ")) },
		"old version":    replace(`"version":1`, `"version":0`),
		"new version":    replace(`"version":1`, `"version":2`),
		"other key":      replace("/r1/", "/r2/"),
		"huge size":      replace(`"size":30`, `"size":9007199254740991`),
		"negative size":  replace(`"size":30`, `"size":-30`),
		"size too large": replace(`"size":30`, `"size":4294967297`),
		"invented chunk": replace(`"chunk_bytes":0,"chunks":0`, `"chunk_bytes":30,"chunks":1`),
		"many chunks":    replace(`"size":30`, `"size":4000000000`),
		"foreign":        func([]byte) []byte { return []byte("GGUF\x03\x00\x00\x00") },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			var corrupt atomic.Int32
			backend := open(t, store.Hooks{OnCorrupt: func(_ string, kind store.Kind) {
				if kind != store.KindScores {
					t.Errorf("OnCorrupt for kind %q", kind)
				}
				corrupt.Add(1)
			}})
			key := Key(store.KindScores, "")
			put(t, backend.Store, key, Value(3, 30))
			backend.Rewrite(t, key, change)
			if value, err := backend.Store.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("Get of a damaged entry = %d bytes, %v", len(value), err)
			}
			counted := corrupt.Load()
			if counted == 0 {
				t.Fatal("the damaged entry was not counted")
			}
			wantNotFound(t, backend.Store, key)
			if now := corrupt.Load(); now != counted {
				t.Fatalf("the deleted entry was counted again: %d, then %d", counted, now)
			}
			put(t, backend.Store, key, Value(4, 30))
			wantValue(t, backend.Store, key, Value(4, 30))
		})
	}
}

// replace returns a change that panics if it finds nothing to replace, so that a test case cannot silently lose its
// effect.
func replace(old, new string) func([]byte) []byte {
	return func(b []byte) []byte {
		if !bytes.Contains(b, []byte(old)) {
			panic(fmt.Sprintf("no %q in %q", old, b))
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
}
