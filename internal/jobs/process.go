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

// Command describes how to start a child.
type Command struct {
	Path string    // of the binary; "" means this one
	Args []string  // arguments that make the binary call Serve; the kind of job is appended
	Env  []string  // nil means the parent's
	Log  io.Writer // receives the child's standard error; nil discards it
	hold *hold     // stops and resumes the child; may be nil
}

// run starts a child, sends it the order and waits for its result. It calls progress for each report, always from the
// same goroutine. When ctx ends, run kills the child and returns ctx's error.
func (c Command) run(ctx context.Context, order Order, progress func(json.RawMessage)) (*Result, error) {
	line, err := encode("order", order)
	if err != nil {
		return nil, err
	}
	path := c.Path
	if path == "" {
		if path, err = Self(); err != nil {
			return nil, fmt.Errorf("find own binary: %w", err)
		}
	}
	// The kernel's parent-death signal follows the thread that started the child, so that thread must outlive it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Args[0] = os.Args[0] // the name in process lists
	cmd.Env = c.Env
	DieWithParent(cmd)
	cmd.WaitDelay = 5 * time.Second
	tail := &tailWriter{next: c.Log}
	cmd.Stderr = tail
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start child process: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start child process: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start child process %q: %w", path, err)
	}
	detach := c.hold.attach(cmd.Process)
	_, writeErr := stdin.Write(append(line, '\n'))
	result, readErr := receive(stdout, progress)
	detach() // before Wait, while the process id cannot be reused
	_ = stdin.Close()
	waitErr := cmd.Wait()

	var failed *JobError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case readErr == nil:
		return result, nil
	case errors.As(readErr, &failed):
		return nil, failed
	case waitErr != nil:
		return nil, fmt.Errorf("child process ended without a result (%w)%s", waitErr, tail.cause())
	default:
		return nil, fmt.Errorf("exchange messages with child process: %w", errors.Join(writeErr, readErr))
	}
}

// receive reads the child's messages until its result or error.
func receive(stdout io.Reader, progress func(json.RawMessage)) (*Result, error) {
	scanner := bufio.NewScanner(stdout)
	scanner.Buffer(make([]byte, 0, 1<<16), maxLine)
	for scanner.Scan() {
		var m message
		if err := json.Unmarshal(scanner.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("parse message of child process: %w", err)
		}
		switch {
		case m.Error != "":
			return nil, &JobError{Message: m.Error}
		case m.Result != nil:
			return m.Result, nil
		case m.Progress != nil && progress != nil:
			progress(m.Progress)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	return nil, io.ErrUnexpectedEOF
}

// tailWriter forwards the child's log and keeps the end of it, which explains why a child died without a message.
type tailWriter struct {
	mu   sync.Mutex
	next io.Writer
	end  []byte
}

// tailBytes is how many bytes of the log to keep. Go's crash report of some goroutines fits, so the line before it,
// which gives the cause, is kept too.
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

// cause returns a colon and the line of the log that best explains why the child died. That is the line before a crash
// report of Go's runtime (the last output of native code), the runtime's own reason, or the last line.
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
