package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/polltest"
)

// The test binary is also the child. With this variable set, it does one order instead of running tests.
const (
	roleVariable    = "JOBS_TEST_ROLE"
	scratchVariable = "JOBS_TEST_SCRATCH" // of a parent
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "child":
		if err := Serve(context.Background(), os.Stdin, os.Stdout, os.Exit, testHandlers()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "parent": // a parent that the test kills while its child works
		_, _, err := testParent(os.Getenv(scratchVariable)).Do(context.Background(), "sleep", nil, nil, func(pid json.RawMessage) { fmt.Println(string(pid)) })
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// testHandlers returns jobs that report, fail and crash in different ways.
func testHandlers() map[Kind]Handler {
	return map[Kind]Handler{
		"count": func(_ context.Context, call *Call, progress func(any)) (any, Values, error) {
			var count int
			if err := json.Unmarshal(call.Payload, &count); err != nil {
				return nil, nil, err
			}
			for i := range count {
				progress(i)
			}
			return count, nil, nil
		},
		"echo": func(_ context.Context, call *Call, _ func(any)) (any, Values, error) {
			values := Values{"missing": nil, "background": fmt.Append(nil, call.Background)}
			for name, value := range call.Values {
				values["echo-"+name] = value
			}
			return nil, values, nil
		},
		"fail": func(context.Context, *Call, func(any)) (any, Values, error) {
			return nil, nil, errors.New("layer 3 is not finite")
		},
		"panic": func(context.Context, *Call, func(any)) (any, Values, error) { panic("broken invariant") },
		"crash": func(context.Context, *Call, func(any)) (any, Values, error) {
			fmt.Fprintln(os.Stderr, "first line\nGGML_ASSERT(x) failed")
			_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
			select {}
		},
		"sleep": func(_ context.Context, _ *Call, progress func(any)) (any, Values, error) {
			progress(os.Getpid())
			select {}
		},
		"threads": func(_ context.Context, _ *Call, progress func(any)) (any, Values, error) {
			var started sync.WaitGroup
			for range 8 {
				started.Add(1)
				go func() {
					runtime.LockOSThread()
					started.Done()
					select {}
				}()
			}
			started.Wait()
			progress(os.Getpid())
			select {}
		},
		"tick": func(_ context.Context, _ *Call, progress func(any)) (any, Values, error) {
			ticker := time.NewTicker(time.Millisecond)
			for i := 0; ; i++ {
				progress(i)
				<-ticker.C
			}
		},
	}
}

func testParent(scratch string) Parent {
	return Parent{Command: Command{Env: append(os.Environ(), roleVariable+"=child"), Log: io.Discard}, Scratch: scratch}
}

func TestDo(t *testing.T) {
	var seen []string
	got, _, err := testParent(t.TempDir()).Do(t.Context(), "count", 5, nil, func(i json.RawMessage) { seen = append(seen, string(i)) })
	if err != nil || string(got) != "5" || len(seen) != 5 || seen[4] != "4" {
		t.Fatalf("Do(count) = %s, %v with progress %v, want 5, nil and 0..4", got, err, seen)
	}
}

// Named values pass in both directions, and nothing remains in the scratch folder.
func TestDoValues(t *testing.T) {
	parent := testParent(t.TempDir())
	parent.Background = func() bool { return true }
	_, got, err := parent.Do(t.Context(), "echo", nil, Values{"scores": []byte("1, 2"), "down": nil, "empty": {}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Values{"background": []byte("true"), "echo-scores": []byte("1, 2"), "echo-empty": {}}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if rest, err := os.ReadDir(parent.Scratch); err != nil || len(rest) != 0 {
		t.Errorf("%v, %v remain, want nothing", rest, err)
	}
}

// The parent does not use a child's text as a path.
func TestValueNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc/passwd"} {
		if _, err := readValues(t.TempDir(), []string{name}); err == nil || !strings.Contains(err.Error(), "not a file name") {
			t.Errorf("value %q: error %v, want one that says it is not a file name", name, err)
		}
	}
}

func TestDoFailures(t *testing.T) {
	for kind, want := range map[Kind]string{
		"fail":  "layer 3 is not finite",
		"panic": "internal error: broken invariant",
		"crash": "GGML_ASSERT(x) failed",
		"other": `"other" is not a valid kind of job`,
	} {
		t.Run(string(kind), func(t *testing.T) {
			_, _, err := testParent(t.TempDir()).Do(t.Context(), kind, nil, nil, nil)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("Do(%s) error = %v, want one line with %q", kind, err, want)
			}
		})
	}
}

func TestDoMissingBinary(t *testing.T) {
	parent := Parent{Command: Command{Path: "/nonexistent/prunellm"}, Scratch: t.TempDir()}
	if _, _, err := parent.Do(t.Context(), "count", 1, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Do error = %v, want os.ErrNotExist", err)
	}
}

func TestDoCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pid := 0
	_, _, err := testParent(t.TempDir()).Do(ctx, "sleep", nil, nil, func(p json.RawMessage) {
		if err := json.Unmarshal(p, &pid); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Do error = %v, want context.Canceled", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Fatalf("child %d after cancel: %v, want no such process", pid, err)
	}
}

// A parent killed with SIGKILL cannot clean up. Its child must still end.
func TestChildEndsWithItsParent(t *testing.T) {
	for name, held := range map[string]bool{"working": false, "held": true} {
		t.Run(name, func(t *testing.T) { testChildEndsWithItsParent(t, held) })
	}
}

func testChildEndsWithItsParent(t *testing.T, held bool) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleVariable+"=parent", scratchVariable+"="+t.TempDir())
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

// A stopped child does nothing until it is resumed. When its context ends, it ends like any other child.
func TestHold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var hold hold
	hold.stop() // before it starts
	parent := testParent(t.TempDir())
	parent.hold = &hold
	ticks := make(chan struct{}, 1) // full if the child has progressed since the last check
	ended := make(chan error, 1)
	go func() {
		_, _, err := parent.Do(ctx, "tick", nil, nil, func(json.RawMessage) {
			select {
			case ticks <- struct{}{}:
			default:
			}
		})
		ended <- err
	}()
	moves := func() bool { // whether the child makes progress within a tenth of a second
		select {
		case <-ticks: // drop an earlier tick
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
		t.Error("a child that started stopped makes progress")
	}
	hold.resume()
	until(true, "does not continue")
	hold.stop()
	until(false, "is not stopped")
	if moves() {
		t.Error("a stopped child makes progress")
	}
	hold.resume()
	until(true, "does not continue a second time")
	hold.stop()
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Do = %v, want context.Canceled", err)
		}
	case <-time.After(time.Minute):
		t.Error("a stopped child does not end with its context")
	}
	hold.resume() // without a child: must do nothing
}

// alive reports whether a process exists and is not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0] != "Z" && fields[0] != "X"
}
