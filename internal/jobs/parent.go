package jobs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Command says how to start a child.
type Command struct {
	Path string   // the binary
	Args []string // its arguments
	Env  []string // its environment; nil: the parent's
	Log  io.Writer
	Hold *Hold // stops it and lets it go on; nil: never
}

// Run starts a child, gives it the job and waits for its result. progress is called for each report, from one goroutine.
// When ctx ends the child is killed and ctx's error returned.
func Run[J, P, R any](ctx context.Context, command Command, job J, progress func(P)) (R, error) {
	var result R
	encoded, err := json.Marshal(job)
	if err != nil {
		return result, fmt.Errorf("encode job: %w", err)
	}
	if len(encoded) >= maxLine {
		return result, fmt.Errorf("encode job: %d bytes, want below %d", len(encoded), maxLine)
	}
	// The kernel's parent-death signal follows the thread that started the child, so that thread must outlive it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, command.Path, command.Args...)
	cmd.Args[0] = os.Args[0] // the name that people see in a list of processes
	cmd.Env = command.Env
	DieWithParent(cmd)
	cmd.WaitDelay = 5 * time.Second
	tail := &tailWriter{next: command.Log}
	cmd.Stderr = tail
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return result, fmt.Errorf("start worker: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return result, fmt.Errorf("start worker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return result, fmt.Errorf("start worker %q: %w", command.Path, err)
	}
	defer command.Hold.attach(cmd.Process)()
	_, writeErr := stdin.Write(append(encoded, '\n'))
	result, answered, readErr := receive[P, R](stdout, progress)
	_ = stdin.Close()
	waitErr := cmd.Wait()

	var failed *JobError
	switch {
	case ctx.Err() != nil:
		return result, ctx.Err()
	case answered:
		return result, nil
	case errors.As(readErr, &failed):
		return result, failed
	case waitErr != nil:
		return result, fmt.Errorf("worker ended without an answer (%w)%s", waitErr, tail.cause())
	default:
		return result, fmt.Errorf("talk to worker: %w", errors.Join(writeErr, readErr))
	}
}

// receive reads the child's messages up to its result or error.
func receive[P, R any](stdout io.Reader, progress func(P)) (result R, answered bool, err error) {
	scanner := bufio.NewScanner(stdout)
	scanner.Buffer(make([]byte, 0, 1<<16), maxLine)
	for scanner.Scan() {
		var m message
		if err := json.Unmarshal(scanner.Bytes(), &m); err != nil {
			return result, false, fmt.Errorf("worker's message: %w", err)
		}
		switch {
		case m.Error != "":
			return result, false, &JobError{Message: m.Error}
		case m.Result != nil:
			if err := json.Unmarshal(m.Result, &result); err != nil {
				return result, false, fmt.Errorf("worker's result: %w", err)
			}
			return result, true, nil
		case m.Progress != nil && progress != nil:
			var p P
			if err := json.Unmarshal(m.Progress, &p); err != nil {
				return result, false, fmt.Errorf("worker's progress: %w", err)
			}
			progress(p)
		}
	}
	if err := scanner.Err(); err != nil {
		return result, false, err
	}
	return result, false, io.ErrUnexpectedEOF
}

// tailWriter passes the child's log on and keeps its end, to explain a death without a message.
type tailWriter struct {
	mu   sync.Mutex
	next io.Writer
	end  []byte
}

// tailBytes holds a Go crash report of some goroutines, which comes after the line that explains it.
const tailBytes = 1 << 16

// Write implements io.Writer.
func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if len(t.end) > tailBytes {
		t.end = append(t.end[:0], t.end[len(t.end)-tailBytes:]...)
	}
	if t.next == nil {
		return len(p), nil
	}
	return t.next.Write(p)
}

// cause is the line of the log that explains a death best, with a colon before it: the one that a crash report of Go's
// runtime follows (what native code said before it aborted), the runtime's own reason, or the last line.
func (t *tailWriter) cause() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(bytes.ToValidUTF8(t.end, nil)))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
			return ": " + line
		case strings.HasPrefix(line, "SIG") && i > 0:
			return ": " + lines[i-1]
		case strings.HasPrefix(line, "SIG"):
			return ": " + line
		}
	}
	return ": " + lines[len(lines)-1]
}
