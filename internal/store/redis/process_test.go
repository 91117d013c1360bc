package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"prunellm/internal/polltest"
	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

const (
	// leaderURL is the variable that turns this test binary into a leader (see beLeader).
	leaderURL      = "PRUNELLM_TEST_LEADER_URL"
	leaderLeaseTTL = 3 * time.Second
)

// beLeader takes the lease, prints "leading", waits for a line on standard input, stores a value and prints the
// outcome.
func beLeader(url string) int {
	s, err := Open(Options{URL: url, LeaseTTL: leaderLeaseTTL})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer s.Close()
	lease, ok, err := s.Acquire(context.Background(), storetest.Key(store.KindScores, ""))
	if err != nil || !ok {
		fmt.Println("no lease", err)
		return 1
	}
	fmt.Println("leading")
	bufio.NewReader(os.Stdin).ReadString('\n') // the end of input counts as a line
	err = lease.Put(context.Background(), storetest.Key(store.KindScores, ""), []byte("from the leader"))
	fmt.Println("stale", errors.Is(err, store.ErrStaleLease), "error", err != nil)
	return 0
}

// leader is a child process that holds the lease.
type leader struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
}

func startLeader(t *testing.T, url string) leader {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), leaderURL+"="+url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l := leader{cmd: cmd, input: input, output: bufio.NewReader(output)}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	l.wantLine(t, "leading\n")
	return l
}

func (l leader) wantLine(t *testing.T, want string) {
	t.Helper()
	if line, err := l.output.ReadString('\n'); line != want {
		t.Fatalf("the leader prints %q, %v, want %q", line, err, want)
	}
}

func (l leader) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := l.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// TestLeaderProcess uses a leader in its own process, which works normally, is killed, or is stopped and resumed.
func TestLeaderProcess(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL, LeaseTTL: leaderLeaseTTL})
	key := storetest.Key(store.KindScores, "")
	wantTakeover := func(t *testing.T) *Lease {
		t.Helper()
		start := time.Now()
		lease := takeOver(t, s, key)
		if took := time.Since(start); took > leaderLeaseTTL+30*time.Second {
			t.Errorf("taken over after %v, want at most about %v", took, leaderLeaseTTL)
		}
		return lease
	}
	t.Run("well", func(t *testing.T) {
		l := startLeader(t, server.URL)
		for range polltest.During(leaderLeaseTTL * 3 / 2) {
			if _, ok, err := s.Acquire(t.Context(), key); err != nil || ok {
				t.Fatalf("Acquire while a leader is alive = %v, %v", ok, err)
			}
		}
		fmt.Fprintln(l.input)
		l.wantLine(t, "stale false error false\n")
	})
	t.Run("killed", func(t *testing.T) {
		server.Do("FLUSHALL")
		startLeader(t, server.URL).signal(t, syscall.SIGKILL)
		lease := wantTakeover(t)
		if err := lease.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("stopped and resumed", func(t *testing.T) {
		server.Do("FLUSHALL")
		l := startLeader(t, server.URL)
		l.signal(t, syscall.SIGSTOP)
		lease := wantTakeover(t)
		if err := lease.Put(t.Context(), key, []byte("from the next")); err != nil {
			t.Fatal(err)
		}
		if err := lease.Close(); err != nil { // so that only the token distinguishes the old leader from a new one
			t.Fatal(err)
		}
		l.signal(t, syscall.SIGCONT)
		fmt.Fprintln(l.input)
		l.wantLine(t, "stale true error true\n")
		if value, err := s.Get(t.Context(), key); err != nil || string(value) != "from the next" {
			t.Errorf("Get = %q, %v: the old leader's write was accepted", value, err)
		}
	})
}
