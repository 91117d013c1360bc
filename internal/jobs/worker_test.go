package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"prunellm/internal/polltest"
)

// The test binary is its own worker: with this variable set it serves one job instead of running tests.
const roleVariable = "WORKER_TEST_ROLE"

type job struct {
	Action string
	Count  int
}

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "child":
		err := Serve(context.Background(), os.Stdin, os.Stdout, os.Exit, perform)
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "parent": // a parent that is to be killed while its child works
		_, err := Run[job, int, int](context.Background(), childCommand(), job{Action: "sleep"}, func(pid int) { fmt.Println(pid) })
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func perform(_ context.Context, j job, progress func(int)) (int, error) {
	switch j.Action {
	case "count":
		for i := range j.Count {
			progress(i)
		}
		return j.Count, nil
	case "fail":
		return 0, errors.New("layer 3 is not finite")
	case "panic":
		panic("broken invariant")
	case "crash":
		fmt.Fprintln(os.Stderr, "first line\nGGML_ASSERT(x) failed")
		_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
		select {}
	case "sleep":
		progress(os.Getpid())
		select {}
	case "tick":
		ticker := time.NewTicker(time.Millisecond)
		for i := 0; ; i++ {
			progress(i)
			<-ticker.C
		}
	}
	return 0, fmt.Errorf("unknown action %q", j.Action)
}

func childCommand() Command {
	self, err := Self()
	if err != nil {
		panic(err)
	}
	return Command{Path: self, Env: append(os.Environ(), roleVariable+"=child"), Log: io.Discard}
}

func TestRun(t *testing.T) {
	var seen []int
	got, err := Run[job, int, int](t.Context(), childCommand(), job{Action: "count", Count: 5}, func(i int) { seen = append(seen, i) })
	if err != nil || got != 5 || len(seen) != 5 || seen[4] != 4 {
		t.Fatalf("Run(count) = %d, %v with progress %v, want 5, nil and 0..4", got, err, seen)
	}
}

func TestRunFailures(t *testing.T) {
	for action, want := range map[string]string{
		"fail":  "layer 3 is not finite",
		"panic": "internal error: broken invariant",
		"crash": "GGML_ASSERT(x) failed",
	} {
		t.Run(action, func(t *testing.T) {
			_, err := Run[job, int, int](t.Context(), childCommand(), job{Action: action}, nil)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("Run(%s) error = %v, want one line with %q", action, err, want)
			}
		})
	}
}

func TestRunMissingBinary(t *testing.T) {
	_, err := Run[job, int, int](t.Context(), Command{Path: "/nonexistent/prunellm"}, job{}, nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Run error = %v, want os.ErrNotExist", err)
	}
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pid := 0
	_, err := Run[job, int, int](ctx, childCommand(), job{Action: "sleep"}, func(p int) { pid = p; cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Run error = %v, want context.Canceled", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Fatalf("child %d after cancel: %v, want no such process", pid, err)
	}
}

// A parent killed with SIGKILL runs no code of its own; its child must still end.
func TestChildEndsWithItsParent(t *testing.T) {
	for name, held := range map[string]bool{"working": false, "held": true} {
		t.Run(name, func(t *testing.T) { testChildEndsWithItsParent(t, held) })
	}
}

func testChildEndsWithItsParent(t *testing.T, held bool) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleVariable+"=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	if held {
		if err := syscall.Kill(child, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	polltest.Within(t, 10*time.Second, func() error {
		if alive(child) {
			return fmt.Errorf("child %d outlives its parent", child)
		}
		return nil
	})
}

// A child that is held does nothing until it may go on, and ends with its context as any other.
func TestHold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var hold Hold
	hold.Stop() // before it starts
	command := childCommand()
	command.Hold = &hold
	ticks := make(chan struct{}, 1) // full when the child has moved since the last look
	ended := make(chan error, 1)
	go func() {
		_, err := Run[job, int, int](ctx, command, job{Action: "tick"}, func(int) {
			select {
			case ticks <- struct{}{}:
			default:
			}
		})
		ended <- err
	}()
	moves := func() bool { // within a tenth of a second
		select {
		case <-ticks: // of an earlier time
		default:
		}
		select {
		case <-ticks:
			return true
		case <-time.After(100 * time.Millisecond):
			return false
		}
	}
	until := func(want bool, what string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); moves() != want; {
			if time.Now().After(deadline) {
				t.Fatalf("after a minute the child %s", what)
			}
		}
	}
	if moves() {
		t.Error("a child that started held works")
	}
	hold.Continue()
	until(true, "does not go on")
	hold.Stop()
	until(false, "is not stopped")
	if moves() {
		t.Error("a child that is held works")
	}
	hold.Continue()
	until(true, "does not go on a second time")
	hold.Stop()
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want context.Canceled", err)
		}
	case <-time.After(time.Minute):
		t.Error("a held child does not end with its context")
	}
	hold.Continue() // no child
}

// alive tells whether a process exists and is not a zombie that nobody has waited for.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0] != "Z" && fields[0] != "X"
}
