package redis

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"prunellm/internal/polltest"
	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// TestClockDiffers runs the suites of values and leases against servers whose clocks are hours away from the replicas'.
// Replicas meet in Redis alone, so one that is ahead of Redis and one that is behind differ from each other as well.
func TestClockDiffers(t *testing.T) {
	server, set := redistest.StartClock(t)
	client := server.Client()
	for _, difference := range []time.Duration{5 * time.Hour, -7 * time.Hour, 400 * 24 * time.Hour} {
		t.Run(difference.String(), func(t *testing.T) {
			set(difference)
			now, err := client.Time(t.Context()).Result()
			if away := now.Sub(time.Now().Add(difference)).Abs(); err != nil || away > time.Minute {
				t.Fatalf("the server's clock is %v off, %v", away, err)
			}
			storetest.Suite(t, func(t *testing.T, hooks store.Hooks) storetest.Backend {
				server.Do("FLUSHALL")
				s := openTest(t, Options{URL: server.URL, Hooks: hooks})
				return storetest.Backend{Store: s, Rewrite: func(t *testing.T, key store.Key, change func([]byte) []byte) {
					t.Helper()
					rewrite(t, client, entryKey(key), change)
				}}
			})
			storetest.LeaseSuite(t, func(t *testing.T, n int) []storetest.Replica {
				server.Do("FLUSHALL")
				replicas := make([]storetest.Replica, n)
				for i := range replicas {
					s := openTest(t, Options{URL: server.URL})
					replicas[i] = storetest.Replica{Store: s, Leaser: s}
				}
				return replicas
			})
		})
	}
}

// TestClockSet sets the clock of Redis while a leader works: one that lives keeps its lease or has it taken over, one that
// died is followed within a lease's lifetime, and of two that believe to lead only the later one's write is taken.
func TestClockSet(t *testing.T) {
	const ttl = 2 * time.Second
	for _, difference := range []time.Duration{-20 * time.Minute, -5 * time.Hour, 5 * time.Hour} {
		t.Run(fmt.Sprint("dead ", difference), func(t *testing.T) {
			t.Parallel()
			server, set := redistest.StartClock(t)
			a, b := openTest(t, Options{URL: server.URL, LeaseTTL: ttl}), openTest(t, Options{URL: server.URL, LeaseTTL: ttl})
			key := storetest.Key(store.KindScores, "")
			dead := die(t, a, key)
			set(difference)
			next := takeOver(t, b, key) // waits for 30 s at most
			defer next.Close()
			before, _ := new(big.Int).SetString(dead.Token(), 10)
			after, ok := new(big.Int).SetString(next.Token(), 10)
			if !ok || after.Cmp(before) <= 0 {
				t.Errorf("token %s after %s", next.Token(), dead.Token())
			}
			if err := dead.Put(t.Context(), key, []byte("old")); !errors.Is(err, store.ErrStaleLease) {
				t.Errorf("Put by the first leader = %v, want ErrStaleLease", err)
			}
			if err := next.Put(t.Context(), key, []byte("new")); err != nil {
				t.Errorf("Put by its successor = %v", err)
			}
		})
		t.Run(fmt.Sprint("alive ", difference), func(t *testing.T) {
			t.Parallel()
			server, set := redistest.StartClock(t)
			a, b := openTest(t, Options{URL: server.URL, LeaseTTL: ttl}), openTest(t, Options{URL: server.URL, LeaseTTL: ttl})
			key := storetest.Key(store.KindScores, "")
			lease := storetest.Acquire(t, a, key)
			defer lease.Close()
			set(difference)
			for range polltest.During(2 * ttl) {
				other, ok, err := b.Acquire(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					continue
				}
				defer other.Close()
				if difference < 0 { // nothing ran out
					t.Fatal("the lease of a living leader was taken")
				}
				if err := lease.Put(t.Context(), key, []byte("old")); !errors.Is(err, store.ErrStaleLease) {
					t.Errorf("Put by who was followed = %v, want ErrStaleLease", err)
				}
				return
			}
			if err := lease.Put(t.Context(), key, []byte("kept")); err != nil {
				t.Errorf("Put by the leader that kept its lease = %v", err)
			}
		})
	}
}

// TestNoWallClockLeaves reads the source of what replicas share: no point in time is ever written down, sent or read, so
// none of one machine is compared with one of another. Lifetimes are given to Redis as durations, which it counts by its
// own clock; what is measured here is measured between two looks at this machine's monotonic clock.
func TestNoWallClockLeaves(t *testing.T) {
	// By these a time becomes a number or a text, or the other way round.
	forbidden := []string{
		"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Format", "AppendFormat", "MarshalJSON", "MarshalText", "MarshalBinary",
		"Parse", "ParseInLocation", "Date", "ExpireAt", "PExpireAt", "ExpireTime", "PExpireTime", "SetArgs",
	}
	looked := 0
	for _, pattern := range []string{"*.go", "../../variant/*.go", "../*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			looked++
			ast.Inspect(file, func(node ast.Node) bool {
				switch n := node.(type) {
				case *ast.SelectorExpr:
					owner, _ := n.X.(*ast.Ident)
					if slices.Contains(forbidden, n.Sel.Name) && (owner == nil || owner.Name == "time" || owner.Obj != nil) {
						t.Errorf("%s: %s may carry a point in time", files.Position(n.Pos()), n.Sel.Name)
					}
				case *ast.Field:
					if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Time" && n.Tag != nil {
						t.Errorf("%s: a point in time is stored", files.Position(n.Pos()))
					}
				}
				return true
			})
		}
	}
	if looked < 20 {
		t.Fatalf("only %d files looked at", looked)
	}
	for _, script := range []string{commitScript, dropScript, touchScript, acquireScript, renewScript, releaseScript, progressScript} {
		for _, absolute := range []string{"EXPIREAT", "EXAT", "PXAT", "os.time"} {
			if strings.Contains(script, absolute) {
				t.Errorf("a script uses %s", absolute)
			}
		}
	}
}
