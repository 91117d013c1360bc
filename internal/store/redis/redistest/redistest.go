// Package redistest starts real redis-server processes for tests and makes them fail in various ways.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"prunellm/internal/polltest"
)

// Server is a redis-server process that ends with the test.
type Server struct {
	// URL is its URL on the loopback address, with TLS if the arguments ask for it.
	URL string
	// Port is its TCP port.
	Port int
	// Socket is the path of its unix socket.
	Socket string

	t    testing.TB
	env  []string
	args []string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *bytes.Buffer // valid once done is closed
}

// Start starts redis-server with further arguments and waits until it responds. It runs without persistence in its own
// directory. If redis-server is not installed, Start skips the test, or fails it if the environment has CI=true.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, nil, "", append([]string{"--save", "", "--appendonly", "no"}, args...))
}

// StartSentinel starts a Sentinel that watches the master under the given name. It replaces a master that is down for
// half a second.
func StartSentinel(t testing.TB, master *Server, name string) *Server {
	t.Helper()
	config := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 1\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 2000\n", name, master.Port)
	return start(t, nil, config, []string{"--sentinel"})
}

// start starts redis-server. A nil env means the environment of this process.
func start(t testing.TB, env []string, config string, args []string) *Server {
	t.Helper()
	Require(t)
	// The path of a Unix socket must be short, so t.TempDir with the test's name cannot be used.
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{t: t, env: env, Socket: filepath.Join(dir, "s")}
	file := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 5 { // another process may take a free port before the server does
		s.Port = FreePort(t)
		s.args = append([]string{file, "--port", fmt.Sprint(s.Port), "--bind", "127.0.0.1", "--unixsocket", s.Socket, "--dir", dir, "--daemonize", "no"}, args...)
		if err = s.launch(); err == nil {
			break
		}
	}
	if err != nil && strings.Contains(err.Error(), "tls-port") && strings.Contains(err.Error(), "Bad directive") && os.Getenv("CI") != "true" {
		t.Skip("redis-server is built without TLS")
	}
	if err != nil {
		t.Fatal(err)
	}
	s.URL = fmt.Sprintf("redis://127.0.0.1:%d", s.Port)
	t.Cleanup(s.Kill)
	return s
}

// StartCluster starts n masters that share the slots of a Cluster. It waits until all of them report that the Cluster
// is complete.
func StartCluster(t testing.TB, n int) []*Server {
	t.Helper()
	nodes := make([]*Server, n)
	buses := make([]int, n)
	for i := range nodes {
		args := []string{"--cluster-enabled", "yes"}
		if Major(t) >= 7 {
			buses[i] = FreePort(t)
			args = append(args, "--cluster-port", fmt.Sprint(buses[i]))
		}
		nodes[i] = Start(t, args...)
		if buses[i] == 0 {
			buses[i] = nodes[i].Port + 10000 // earlier versions support only this bus port
		}
		slots := []any{"CLUSTER", "ADDSLOTS"}
		for slot := i * 16384 / n; slot < (i+1)*16384/n; slot++ {
			slots = append(slots, slot)
		}
		nodes[i].Do(slots...)
	}
	for i, node := range nodes[1:] {
		nodes[0].Do("CLUSTER", "MEET", "127.0.0.1", node.Port, buses[i+1])
	}
	for _, node := range nodes {
		Eventually(t, func() error {
			info := node.Do("CLUSTER", "INFO").(string)
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", n)) {
				return fmt.Errorf("cluster is not complete: %s", info)
			}
			return nil
		})
	}
	return nodes
}

// StartReplicated starts a master, its replica and a Sentinel that watches both. It waits until the Sentinel can
// replace the master with the replica. In url the master's name is "main".
func StartReplicated(t testing.TB) (master, replica *Server, url string) {
	t.Helper()
	master = Start(t)
	replica = Start(t, "--replicaof", "127.0.0.1", fmt.Sprint(master.Port))
	sentinel := StartSentinel(t, master, "main")
	Eventually(t, func() error {
		if info := master.Do("INFO", "replication").(string); !strings.Contains(info, "state=online") {
			return errors.New("replica is not in sync")
		}
		if replicas := sentinel.Do("SENTINEL", "REPLICAS", "main").([]any); len(replicas) != 1 {
			return errors.New("sentinel does not know the replica")
		}
		return nil
	})
	return master, replica, fmt.Sprintf("redis-sentinel://127.0.0.1:%d/main/0", sentinel.Port)
}

// StartDebug is like Start, but enables the commands that can break a server (DEBUG, CONFIG SET dir). Before Redis 7
// they are always enabled.
func StartDebug(t testing.TB) *Server {
	t.Helper()
	if Major(t) < 7 {
		return Start(t)
	}
	return Start(t, "--enable-protected-configs", "yes")
}

// Major returns the major version of redis-server.
func Major(t testing.TB) int {
	t.Helper()
	Require(t)
	out, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(out), " v=")
	var major int
	if _, err := fmt.Sscanf(rest, "%d.", &major); err != nil {
		t.Fatalf("redis-server --version prints %q", out)
	}
	return major
}

// Require skips the test, or fails it in CI, if redis-server is not installed.
func Require(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is missing: run make setup")
		}
		t.Skip("redis-server is missing: run make setup")
	}
}

// FreePort returns a free TCP port of the loopback address.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Restart starts the server again after Kill, on the same port and without data.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.launch(); err != nil {
		s.t.Fatal(err)
	}
}

// launch starts the process and waits until it responds.
func (s *Server) launch() error {
	s.log = &bytes.Buffer{}
	s.cmd = exec.Command("redis-server", s.args...)
	s.cmd.Env = s.env
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		cmd.Wait() // the test killed it, so the status does not matter
		close(done)
	}()
	return s.waitReady()
}

// waitReady waits until the server responds. It uses the unix socket, which works with any TLS and password settings.
func (s *Server) waitReady() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("unix", s.Socket)
		if err == nil {
			answer := make([]byte, 1)
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprint(conn, "PING\r\n")
			_, err = conn.Read(answer)
			conn.Close()
			if err == nil {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("redis-server ended: %s", s.log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Kill()
			return fmt.Errorf("redis-server does not respond: %w", err)
		}
	}
}

// Kill kills the process like kill -9 and waits for its end. It is idempotent.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.done
	os.Remove(s.Socket)
}

// Pause stops the process without closing its connections. Resume continues it.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Client returns a plain client on the unix socket, with which tests can read and change keys. It is closed when the
// test ends.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Socket})
	s.t.Cleanup(func() { c.Close() })
	return c
}

// Do runs one command on a new connection and fails the test on an error.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Socket})
	defer c.Close()
	answer, err := c.Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// Eventually calls probe until it returns nil. After a generous timeout it fails the test with probe's last error.
func Eventually(t testing.TB, probe func() error) {
	t.Helper()
	polltest.Within(t, 30*time.Second, probe)
}
