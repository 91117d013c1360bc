package redis

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// The benchmarks below measure the parts that scripts/measure/fleet-sim combines. docs/operate/scale.md has the
// results.

func openBench(b *testing.B, url string) *Store {
	b.Helper()
	s, err := Open(Options{URL: url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// BenchmarkWaiting measures one poll of a replica that waits for a leader: it reads the value, tries to take the lease
// and reads the progress.
func BenchmarkWaiting(b *testing.B) {
	server := redistest.Start(b)
	s := openBench(b, server.URL)
	key := storetest.Key(store.KindScores, "")
	lease, ok, err := s.Acquire(b.Context(), key)
	if err != nil || !ok {
		b.Fatal(ok, err)
	}
	defer lease.Close()
	before := commands(server)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			_, _ = s.Get(b.Context(), key)
			_, _, _ = s.Acquire(b.Context(), key)
			_, _ = s.Progress(b.Context(), key)
		}
	})
	b.ReportMetric(float64(commands(server)-before)/float64(b.N), "commands/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "looks/s")
}

// BenchmarkWatching measures one read of an index with 40 entries.
func BenchmarkWatching(b *testing.B) {
	server := redistest.Start(b)
	s := openBench(b, server.URL)
	for i := range 40 {
		if err := s.Put(b.Context(), storetest.Key(store.KindPlan, strconv.Itoa(i)), []byte("plan")); err != nil {
			b.Fatal(err)
		}
	}
	before := commands(server)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := s.entries(b.Context(), storetest.Model); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(commands(server)-before)/float64(b.N), "commands/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "looks/s")
}

// BenchmarkConnection measures the memory that an idle connection takes in Redis.
func BenchmarkConnection(b *testing.B) {
	server := redistest.Start(b)
	before := info(server, "memory", "used_memory:")
	var conns []net.Conn
	for range 500 { // enough to measure; a process may not have many more
		conn, err := net.Dial("unix", server.Socket)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "PING\r\n")
		if _, err := conn.Read(make([]byte, 16)); err != nil {
			b.Fatal(err)
		}
		conns = append(conns, conn)
	}
	each := float64(info(server, "memory", "used_memory:")-before) / float64(len(conns))
	for b.Loop() { // the benchmark measures memory and not time
	}
	b.ReportMetric(each, "redis-bytes/connection")
}

func commands(server *redistest.Server) int {
	return info(server, "stats", "total_commands_processed:")
}

// info returns the number of a field in a section of Redis's INFO, or 0 if the field is missing.
func info(server *redistest.Server, section, field string) int {
	_, rest, _ := strings.Cut(server.Do("INFO", section).(string), field)
	digits, _, _ := strings.Cut(rest, "\r\n")
	digits, _, _ = strings.Cut(digits, ",")
	n, _ := strconv.Atoi(digits)
	return n
}
