package fleet

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
	"prunellm/internal/store/redis/redistest"
)

// balance runs the load balancer of deploy/ in front of two replicas and returns its address.
func balance(t *testing.T, one, two string) (base string) {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy"
	}
	program.Need(t, path, "make setup-tests")
	config := program.Root(t, "deploy/haproxy.cfg")
	addr := program.FreeAddr(t)
	cmd := exec.Command(path, "-db", "-f", config)
	cmd.Env = append(os.Environ(), "BALANCER_BIND="+addr, "REPLICA_1="+one, "REPLICA_2="+two)
	balancer := program.Watch(t, cmd, addr)
	balancer.WaitFor("the balancer has a replica", time.Minute, func() bool { status, _ := balancer.Get("/readyz"); return status == http.StatusOK })
	return balancer.Base
}

// serveAt starts a server at a given address.
func serveAt(t *testing.T, addr string, args ...string) *program.Instance {
	t.Helper()
	return program.Watch(t, exec.Command(program.Path(t), append([]string{"serve", "--addr", addr}, args...)...), addr)
}

// waitPruned waits until the server's startup variant answers.
func waitPruned(t *testing.T, s *program.Instance) {
	t.Helper()
	s.WaitFor("the pruned variant answers", program.ColdLimit, func() bool {
		status, body := s.Get("/readyz")
		return status == http.StatusOK && !strings.Contains(body, "progress")
	})
}

// redisIsFine reports whether each problem with Redis in a server's log has ended.
func redisIsFine(s *program.Instance) bool {
	log := s.Stderr.String()
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

// faultGroups are the keys of redisFaults. Each group has a Redis and replicas of its own.
var faultGroups = []string{"connection", "permission", "data"}

// Runs the topology of deploy/compose.yaml as processes. Whatever happens to Redis or to a replica, and while new ratios are
// made, no chat request fails. The groups run one after another: side by side on two cores, a variant takes longer to make than
// its request waits.
func TestFleetServesThroughFaults(t *testing.T) {
	t.Parallel()
	for _, group := range faultGroups {
		t.Run(group, func(t *testing.T) { serveThroughFaults(t, group) })
	}
}

func serveThroughFaults(t *testing.T, group string) {
	redis := redistest.Start(t)
	redis.Do("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
	slow := redistest.StartProxy(t, redis)
	quiet := fleetModelOf(t, 1536) // enough neurons that each of the ratios below has another plan
	serve := func(args ...string) []string {
		return append(append(quiet(as(fleetUser, slow.URL)), "--while-pruning", "dense"), args...)
	}
	addr := program.FreeAddr(t)
	one := serveAt(t, addr, serve("--stop-timeout", "60")...)
	two := program.Start(t, serve()...)
	base := balance(t, addr, strings.TrimPrefix(two.Base, "http://"))
	stop := talk(t, base, "tiny")
	waitPruned(t, one)
	waitPruned(t, two)

	for i, fault := range redisFaults(t, redis, slow)[group] {
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
		for _, s := range []*program.Instance{one, two} { // the next fault must find replicas that use Redis
			s.WaitFor(fault.name+": Redis is used again", program.ColdLimit, func() bool { return redisIsFine(s) })
		}
		if fault.kept {
			two.WaitFor(fault.name+": the new ratio is published", program.WarmLimit, func() bool { return published(redis, ratio) })
		}
		t.Logf("%s: %.1f s", fault.name, time.Since(began).Seconds())
	}

	// Kill one replica, start one with an empty disk while Redis is down, and stop one.
	if err := one.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-one.Exited
	redis.Kill()
	one = serveAt(t, addr, serve("--stop-timeout", "60")...)
	waitPruned(t, one)
	if got := one.Metric("prunellm_score_passes_total"); got != 1 {
		t.Errorf("score passes without Redis = %v, want 1", got)
	}
	two.Stop()
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

// redisFaults returns the faults of each group.
func redisFaults(t *testing.T, redis *redistest.Server, slow *redistest.Proxy) map[string][]redisFault {
	t.Helper()
	nothing := func() {}
	do := func(args ...any) func() { return func() { redis.Do(args...) } }
	restart := func() { // the new server has no data and no users
		redis.Restart()
		redis.Do("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
	}
	connection := []redisFault{
		{name: "silent", begin: redis.Pause, end: redis.Resume, kept: true},
		{name: "killed before", begin: redis.Kill, end: restart, kept: true},
		{name: "killed while a replica computes", begin: nothing, during: redis.Kill, end: restart},
		{name: "killed after", begin: nothing, end: func() { redis.Kill(); restart() }},
		{name: "slow", begin: func() { slow.SetDelay(700 * time.Millisecond) }, end: func() { slow.SetDelay(0) }, kept: true},
		{name: "too slow", begin: func() { slow.SetDelay(4 * time.Second) }, end: func() { slow.SetDelay(0) }, kept: true},
	}
	permission := []redisFault{
		{name: "no permission to write", begin: do("ACL", "SETUSER", "worker", "-@write", "-@scripting"), end: do("ACL", "SETUSER", "worker", "+@all"), kept: true},
		{name: "no permission at all", begin: do("ACL", "SETUSER", "worker", "nocommands"), end: do("ACL", "SETUSER", "worker", "+@all"), kept: true},
		{name: "no permission for the keys", begin: do("ACL", "SETUSER", "worker", "resetkeys"), end: do("ACL", "SETUSER", "worker", "~*"), kept: true},
		{name: "password changed", begin: func() {
			redis.Do("ACL", "SETUSER", "worker", "resetpass", ">another")
			redis.Do("CLIENT", "KILL", "USER", "worker") // an authenticated connection would stay authenticated
		}, end: do("ACL", "SETUSER", "worker", ">secret"), kept: true},
		{name: "user deleted while a replica computes", begin: nothing, during: do("ACL", "DELUSER", "worker"),
			end: do("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all"), kept: true},
	}
	data := []redisFault{
		{name: "all data lost", begin: do("FLUSHALL"), end: nothing},
		{name: "all data lost while a replica computes", begin: nothing, during: do("FLUSHALL"), end: nothing},
	}
	for _, policy := range []string{
		"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
	} {
		data = append(data, redisFault{name: "full, " + policy, begin: func() {
			redis.Do("CONFIG", "SET", "maxmemory-policy", policy)
			redis.Do("CONFIG", "SET", "maxmemory", "1mb")
		}, end: do("CONFIG", "SET", "maxmemory", "0"), kept: policy == "noeviction"})
	}
	faults := map[string][]redisFault{"connection": connection, "permission": permission, "data": data}
	if got := slices.Sorted(maps.Keys(faults)); !slices.Equal(got, slices.Sorted(slices.Values(faultGroups))) {
		t.Fatalf("groups of faults are %q, want %q", got, faultGroups)
	}
	return faults
}
