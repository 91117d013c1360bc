package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"prunellm/internal/store/redis/redistest"
)

// balance runs the load balancer of deploy/ in front of two replicas and returns its address.
func balance(t *testing.T, one, two string) (base string) {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy"
	}
	need(t, path, "make setup-tests")
	config, err := filepath.Abs("../../deploy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	cmd := exec.Command(path, "-db", "-f", config)
	cmd.Env = append(os.Environ(), "BALANCER_BIND="+addr, "REPLICA_1="+one, "REPLICA_2="+two)
	balancer := watch(t, cmd, addr)
	balancer.waitFor("the balancer has a replica", time.Minute, func() bool { status, _ := balancer.get("/readyz"); return status == http.StatusOK })
	return balancer.base
}

// serveAt starts a server at a given address.
func serveAt(t *testing.T, addr string, args ...string) *instance {
	t.Helper()
	return watch(t, exec.Command(program(t), append([]string{"serve", "--addr", addr}, args...)...), addr)
}

// waitPruned waits until the server's startup variant answers.
func (s *instance) waitPruned() {
	s.t.Helper()
	s.waitFor("the pruned variant answers", coldLimit, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusOK && !strings.Contains(body, "progress")
	})
}

// redisIsFine reports whether each problem with Redis in a server's log has ended.
func (s *instance) redisIsFine() bool {
	log := s.stderr.String()
	return strings.Count(log, "shared cache not usable") == strings.Count(log, "shared cache is back") &&
		strings.Count(log, "shared cache refuses writes") == strings.Count(log, "shared cache accepts writes again")
}

// fleetUser is the replicas' user in Redis, so that a test can lock them out but not itself.
const fleetUser = "worker:secret@"

// as returns a Redis URL with a user.
func as(user, url string) string { return strings.Replace(url, "//", "//"+user, 1) }

// published reports whether Redis has the plan of a ratio.
func published(redis *redistest.Server, ratio string) bool {
	return len(redis.Do("KEYS", "*:plan:*:"+ratio+"-*").([]any)) > 0
}

// Runs the topology of deploy/compose.yaml as processes. Whatever happens to Redis or to a replica, and while new ratios are
// made, no chat request fails.
func TestFleetServesThroughFaults(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	redis.Do("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
	slow := redistest.StartProxy(t, redis)
	quiet := fleetModelOf(t, 1536) // enough neurons that each of the ratios below has another plan
	serve := func(args ...string) []string {
		return append(append(quiet(as(fleetUser, slow.URL)), "--while-pruning", "dense"), args...)
	}
	addr := freeAddr(t)
	one := serveAt(t, addr, serve("--stop-timeout", "60")...)
	two := start(t, serve()...)
	base := balance(t, addr, strings.TrimPrefix(two.base, "http://"))
	stop := talk(t, base, "tiny")
	one.waitPruned()
	two.waitPruned()

	for i, fault := range redisFaults(redis, slow) {
		began := time.Now()
		ratio := strings.TrimRight(fmt.Sprintf("%.2f", 0.03*float64(i+1)), "0")
		fault.begin()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if status, body := chat(t, base, "tiny@"+ratio); status != http.StatusOK || strings.Contains(body, `"tiny@0"`) {
				t.Errorf("%s: a request for a new ratio: status %d: %s", fault.name, status, body)
			}
		}()
		if fault.during != nil {
			redistest.Eventually(t, func() error {
				if len(redis.Do("KEYS", "*:lease").([]any)) == 0 {
					return fmt.Errorf("nobody computes")
				}
				return nil
			})
			fault.during()
		}
		<-answered
		fault.end()
		for _, s := range []*instance{one, two} { // the next fault must find replicas that use Redis
			s.waitFor(fault.name+": Redis is used again", coldLimit, s.redisIsFine)
		}
		if fault.kept {
			two.waitFor(fault.name+": the new ratio is published", warmLimit, func() bool { return published(redis, ratio) })
		}
		t.Logf("%s: %.1f s", fault.name, time.Since(began).Seconds())
	}

	// Kill one replica, start one with an empty disk while Redis is down, and stop one.
	if err := one.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-one.exited
	redis.Kill()
	one = serveAt(t, addr, serve("--stop-timeout", "60")...)
	one.waitPruned()
	if got := one.metric("prunellm_score_passes_total"); got != 1 {
		t.Errorf("score passes without Redis = %v, want 1", got)
	}
	two.stop()
	if n := stop(); n == 0 {
		t.Error("no request was answered")
	} else {
		t.Logf("%d answers", n)
	}
}

// redisFault is a temporary fault of Redis.
type redisFault struct {
	name       string
	begin, end func()
	// during, if set, runs when a replica has begun to compute.
	during func()
	// kept reports whether values made during the fault are in Redis afterwards.
	kept bool
}

func redisFaults(redis *redistest.Server, slow *redistest.Proxy) []redisFault {
	nothing := func() {}
	do := func(args ...any) func() { return func() { redis.Do(args...) } }
	restart := func() { // the new server has no data and no users
		redis.Restart()
		redis.Do("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
	}
	faults := []redisFault{
		{name: "silent", begin: redis.Pause, end: redis.Resume, kept: true},
		{name: "killed before", begin: redis.Kill, end: restart, kept: true},
		{name: "killed while a replica computes", begin: nothing, during: redis.Kill, end: restart},
		{name: "killed after", begin: nothing, end: func() { redis.Kill(); restart() }},
		{name: "slow", begin: func() { slow.SetDelay(700 * time.Millisecond) }, end: func() { slow.SetDelay(0) }, kept: true},
		{name: "too slow", begin: func() { slow.SetDelay(4 * time.Second) }, end: func() { slow.SetDelay(0) }, kept: true},
		{name: "no permission to write", begin: do("ACL", "SETUSER", "worker", "-@write", "-@scripting"), end: do("ACL", "SETUSER", "worker", "+@all"), kept: true},
		{name: "no permission at all", begin: do("ACL", "SETUSER", "worker", "nocommands"), end: do("ACL", "SETUSER", "worker", "+@all"), kept: true},
		{name: "no permission for the keys", begin: do("ACL", "SETUSER", "worker", "resetkeys"), end: do("ACL", "SETUSER", "worker", "~*"), kept: true},
		{name: "password changed", begin: func() {
			redis.Do("ACL", "SETUSER", "worker", "resetpass", ">another")
			redis.Do("CLIENT", "KILL", "USER", "worker") // an authenticated connection would stay authenticated
		}, end: do("ACL", "SETUSER", "worker", ">secret"), kept: true},
		{name: "user deleted while a replica computes", begin: nothing, during: do("ACL", "DELUSER", "worker"),
			end: do("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all"), kept: true},
		{name: "all data lost", begin: do("FLUSHALL"), end: nothing},
		{name: "all data lost while a replica computes", begin: nothing, during: do("FLUSHALL"), end: nothing},
	}
	for _, policy := range []string{
		"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
	} {
		faults = append(faults, redisFault{name: "full, " + policy, begin: func() {
			redis.Do("CONFIG", "SET", "maxmemory-policy", policy)
			redis.Do("CONFIG", "SET", "maxmemory", "1mb")
		}, end: do("CONFIG", "SET", "maxmemory", "0"), kept: policy == "noeviction"})
	}
	return faults
}
