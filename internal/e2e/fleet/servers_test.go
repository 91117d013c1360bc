package fleet

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"prunellm/internal/e2e/program"
	"prunellm/internal/store/redis/redistest"
)

// redisServers are Redis servers of one kind, and a fault.
type redisServers struct {
	url   string
	flags []string
	// lose stops the server that has the values. restore starts it or another one again, and returns the servers that may
	// then have the values.
	lose    func()
	restore func() []*redistest.Server
}

// For each kind of Redis and each of its faults, chat continues and a new ratio is made and published.
func TestFleetOnEachKindOfRedis(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(t *testing.T) redisServers{
		"cluster of three, one node killed": func(t *testing.T) redisServers {
			nodes := redistest.StartCluster(t, 3)
			var holder *redistest.Server
			return redisServers{
				url: fmt.Sprintf("redis-cluster://127.0.0.1:%d,127.0.0.1:%d", nodes[0].Port, nodes[1].Port),
				lose: func() {
					for _, node := range nodes {
						if node.Do("DBSIZE").(int64) > 0 {
							holder = node
						}
					}
					if holder == nil {
						t.Fatal("no node has the values")
					}
					holder.Kill()
				},
				restore: func() []*redistest.Server { holder.Restart(); return nodes },
			}
		},
		"sentinel failover": func(t *testing.T) redisServers {
			master, replica, url := redistest.StartReplicated(t)
			return redisServers{url: url, lose: master.Kill, restore: func() []*redistest.Server { return []*redistest.Server{replica} }}
		},
		"tls, killed": func(t *testing.T) redisServers {
			server, url, cert, _ := redistest.StartTLS(t)
			return redisServers{
				url: url, flags: []string{"--redis-ca", cert}, lose: server.Kill,
				restore: func() []*redistest.Server { server.Restart(); return []*redistest.Server{server} },
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := run(t)
			serve := fleetModel(t)
			replica := func() *program.Instance {
				s := program.Start(t, append(append(serve(servers.url), "--while-pruning", "dense"), servers.flags...)...)
				s.WaitReady(program.ColdLimit)
				return s
			}
			first := replica()
			stop := talk(t, first.Base, "tiny")
			waitPruned(t, first)
			servers.lose()
			if status, body := chat(t, first.Base, "tiny@0.31"); status != http.StatusOK || !strings.Contains(body, `"tiny@0.31"`) {
				t.Errorf("a request for a new ratio: status %d: %s", status, body)
			}
			left := servers.restore()
			first.WaitFor("the new ratio is published", program.ColdLimit, func() bool {
				for _, server := range left {
					if published(server, "0.31") {
						return true
					}
				}
				return false
			})
			late := replica()
			waitPruned(t, late)
			if got := late.Metric("prunellm_score_passes_total"); got != 0 {
				t.Errorf("score passes of a later replica = %v, want 0", got)
			}
			if stop() == 0 {
				t.Error("no request was answered")
			}
		})
	}
}

// A Redis whose certificate is not trusted counts as unreachable: the server logs that once, and serves what it computes
// itself.
func TestUntrustedRedis(t *testing.T) {
	t.Parallel()
	redis, url, _, _ := redistest.StartTLS(t)
	s := program.Start(t, fleetModel(t)(as("user:hunter2@", url))...)
	s.WaitReady(program.ColdLimit)
	if status, body := chat(t, s.Base, "tiny"); status != http.StatusOK || strings.Contains(body, `"tiny@0"`) {
		t.Errorf("chat: status %d: %s", status, body)
	}
	log := s.Stderr.String()
	if n := strings.Count(log, "redis is unreachable"); n != 1 || !strings.Contains(log, "certificate") {
		t.Errorf("%d warnings, want one that names the certificate:\n%s", n, log)
	}
	if strings.Contains(log, "hunter2") {
		t.Error("the password is in the log")
	}
	if n := redis.Do("DBSIZE").(int64); n != 0 {
		t.Errorf("%d keys were written to an untrusted server", n)
	}
}
