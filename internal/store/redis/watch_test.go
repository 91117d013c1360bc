package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// TestWatch checks that Watch announces existing entries, published entries, entries that only polling finds, and
// entries after a restart of Redis.
func TestWatch(t *testing.T) {
	for name, interval := range map[string]time.Duration{"published": time.Hour, "polled": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			args := []string{}
			if name == "polled" { // publications do not arrive
				args = []string{"--rename-command", "PUBLISH", ""}
			}
			server := redistest.Start(t, args...)
			watcher, writer := openTest(t, Options{URL: server.URL}), openTest(t, Options{URL: server.URL})
			ctx, cancel := context.WithCancel(t.Context())
			heard := make(chan store.Key, 16)
			done := make(chan error, 1)
			put := func(detail string) store.Key {
				key := storetest.Key(store.KindPlan, detail)
				redistest.Eventually(t, func() error { return writer.Put(t.Context(), key, []byte(detail)) })
				return key
			}
			wantHeard := func(want store.Key) {
				t.Helper()
				select {
				case got := <-heard:
					if got != want {
						t.Fatalf("Watch announces %s, want %s", got, want)
					}
				case <-time.After(30 * time.Second):
					t.Fatalf("Watch never announces %s", want)
				}
			}
			before := put("before")
			var total atomic.Int64
			go func() {
				done <- watcher.Watch(ctx, storetest.Model, Watching{
					Interval: interval,
					Announce: func(key store.Key) { heard <- key },
					Sizes:    func(sizes map[store.Kind]int64) { total.Store(sizes[store.KindPlan]) },
				})
			}()
			wantHeard(before)
			if name == "published" {
				redistest.Eventually(t, func() error {
					if n := server.Do("PUBSUB", "NUMSUB", channel(storetest.Model)).([]any)[1].(int64); n != 1 {
						return errors.New("not subscribed")
					}
					return nil
				})
			}
			wantHeard(put("0.2"))
			wantHeard(put("0.2"))                                                              // replaced
			server.Client().Publish(t.Context(), channel(storetest.Model), "../../etc:passwd") // not a valid name
			wantHeard(put("0.4"))
			if name == "polled" {
				server.Kill()
				server.Restart()
				wantHeard(put("later"))
				redistest.Eventually(t, func() error {
					if n := total.Load(); n != int64(len("later")) {
						return fmt.Errorf("the plans take %d bytes", n)
					}
					return nil
				})
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Watch = %v, want context.Canceled", err)
			}
		})
	}
	s := openTest(t, Options{URL: "redis://127.0.0.1:1"})
	if err := s.Watch(t.Context(), "../..", Watching{Interval: time.Second}); err == nil {
		t.Error("Watch accepts a model that is not a digest")
	}
}
