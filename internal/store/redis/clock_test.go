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

// TestClockDiffers runs the suites of values and leases against servers whose clocks differ from the replicas' by
// hours. Replicas interact only through Redis, so this also covers replicas whose clocks differ from each other.
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

// TestClockSet sets the clock of Redis while a leader works. A live leader keeps its lease or loses it to another
// replica. A dead leader is replaced within the lifetime of a lease. If two replicas believe that they lead, only the
// write of the later one is accepted.
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
			next := takeOver(t, b, key) // waits at most 30 s
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
				if difference < 0 { // the clock was set back, so nothing expired
					t.Fatal("another replica has taken the lease of a live leader")
				}
				if err := lease.Put(t.Context(), key, []byte("old")); !errors.Is(err, store.ErrStaleLease) {
					t.Errorf("Put by the replaced leader = %v, want ErrStaleLease", err)
				}
				return
			}
			if err := lease.Put(t.Context(), key, []byte("kept")); err != nil {
				t.Errorf("Put by the leader that kept its lease = %v", err)
			}
		})
	}
}

// TestNoWallClockLeaves checks in the source code that replicas never store, send or read a point in time. Therefore no
// time of one machine is ever compared with a time of another. Redis receives lifetimes as durations, which it measures
// with its own clock. This process measures durations with its monotonic clock.
func TestNoWallClockLeaves(t *testing.T) {
	// These functions convert a time to a number or text, or the other way round.
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
						t.Errorf("%s: %s may store or send a point in time", files.Position(n.Pos()), n.Sel.Name)
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
		t.Fatalf("only %d files were checked", looked)
	}
	for _, script := range []string{commitScript, dropScript, touchScript, acquireScript, renewScript, releaseScript, progressScript} {
		for _, absolute := range []string{"EXPIREAT", "EXAT", "PXAT", "os.time"} {
			if strings.Contains(script, absolute) {
				t.Errorf("a script uses %s", absolute)
			}
		}
	}
}
