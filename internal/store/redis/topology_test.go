package redis

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// TestCluster runs the suites against three masters. All keys of a model must be in one slot.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3)
	url := fmt.Sprintf("redis-cluster://127.0.0.1:%d,127.0.0.1:%d", nodes[0].Port, nodes[1].Port)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{fmt.Sprintf("127.0.0.1:%d", nodes[2].Port)}})
	defer client.Close()
	flush := func() {
		for _, node := range nodes {
			node.Do("FLUSHALL")
		}
	}
	storetest.Suite(t, func(t *testing.T, hooks store.Hooks) storetest.Backend {
		flush()
		s := openTest(t, Options{URL: url, Hooks: hooks})
		return storetest.Backend{Store: s, Rewrite: func(t *testing.T, key store.Key, change func([]byte) []byte) {
			t.Helper()
			rewrite(t, client, entryKey(key), change)
		}}
	})
	storetest.LeaseSuite(t, func(t *testing.T, n int) []storetest.Replica {
		flush()
		replicas := make([]storetest.Replica, n)
		for i := range replicas {
			s := openTest(t, Options{URL: url})
			replicas[i] = storetest.Replica{Store: s, Leaser: s}
		}
		return replicas
	})
}

// TestSentinelFailover kills the master. The store must find the replica that replaces it, and the replica must have
// the values.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master, replica, url := redistest.StartReplicated(t)
	s := openTest(t, Options{URL: url})
	key := storetest.Key(store.KindDown, "0.2")
	value := storetest.Value(1, 200<<10)
	if err := s.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, func() error {
		if n := replica.Do("DBSIZE").(int64); n != 3 {
			return fmt.Errorf("replica has %d keys", n)
		}
		return nil
	})
	master.Kill()
	redistest.Eventually(t, func() error {
		got, err := s.Get(t.Context(), key)
		if err == nil && !bytes.Equal(got, value) {
			t.Fatal("wrong bytes after the failover")
		}
		return err
	})
	redistest.Eventually(t, func() error { return s.Put(t.Context(), key, []byte("after")) })
}

// TestSentinelHangs stops the Sentinel in use. New connections must use the other one.
func TestSentinelHangs(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	sentinels := []*redistest.Server{redistest.StartSentinel(t, master, "main"), redistest.StartSentinel(t, master, "main")}
	s := openTest(t, Options{URL: fmt.Sprintf("redis-sentinel://127.0.0.1:%d,127.0.0.1:%d/main", sentinels[0].Port, sentinels[1].Port)})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	subscribed := func(sentinel *redistest.Server) bool { // whether a client is subscribed to this Sentinel, which means that it uses it
		return strings.Contains(sentinel.Do("CLIENT", "LIST", "TYPE", "pubsub").(string), "sub=2")
	}
	var used *redistest.Server
	redistest.Eventually(t, func() error {
		for _, sentinel := range sentinels {
			if subscribed(sentinel) {
				used = sentinel
				return nil
			}
		}
		return errors.New("no sentinel is in use")
	})
	used.Pause()
	master.Do("CLIENT", "KILL", "TYPE", "normal")
	redistest.Eventually(t, func() error { return s.Ping(t.Context()) })
}

// TestTLS checks that the server's certificate is valid with the given file and not with the system's authorities.
func TestTLS(t *testing.T) {
	t.Parallel()
	_, url, cert, key := redistest.StartTLS(t)
	s := openTest(t, Options{URL: url, CAFile: cert})
	entry := storetest.Key(store.KindPlan, "0.2")
	if err := s.Put(t.Context(), entry, []byte("x")); err != nil {
		t.Fatalf("Put over TLS = %v", err)
	}
	if value, err := s.Get(t.Context(), entry); err != nil || string(value) != "x" {
		t.Fatalf("Get over TLS = %q, %v", value, err)
	}
	unavailable(t, openTest(t, Options{URL: url}), 30*time.Second)
	unavailable(t, openTest(t, Options{URL: strings.Replace(url, "rediss", "redis", 1), Timeout: 300 * time.Millisecond}), 30*time.Second)
	for name, o := range map[string]Options{
		"missing": {URL: url, CAFile: filepath.Join(t.TempDir(), "none")}, "no certificate": {URL: url, CAFile: key}, "no tls": {URL: "redis://localhost", CAFile: cert},
	} {
		if s, err := Open(o); err == nil {
			s.Close()
			t.Errorf("%s: Open succeeds", name)
		}
	}
}
