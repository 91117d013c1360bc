package jobs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Serve is the child's side: it reads one job from in, runs it, and reports on out. The context given to run ends when in
// ends, which tells that the parent is gone; exit is then called after run had no chance to go on, so pass os.Exit.
// Errors of the job are reported to the parent and returned.
func Serve[J, P, R any](ctx context.Context, in io.Reader, out io.Writer, exit func(int),
	run func(ctx context.Context, job J, progress func(P)) (R, error)) error {
	reader := bufio.NewReaderSize(in, maxLine)
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	var job J
	if err := json.Unmarshal(line, &job); err != nil {
		return fmt.Errorf("parse job: %w", err)
	}
	// The parent holds its end open for as long as it wants the answer. Native code in run cannot be interrupted, so
	// the process leaves from here. The goroutine ends with the process.
	go func() {
		_, _ = io.Copy(io.Discard, reader)
		exit(1)
	}()

	sender := &sender{encoder: json.NewEncoder(out)}
	result, err := guarded(ctx, job, func(p P) { _ = sender.send("progress", p) }, run)
	if err != nil {
		_ = sender.send("error", err.Error()) // a parent that cannot be told is gone
		return err
	}
	return sender.send("result", result)
}

// guarded turns a panic of the job into an error, so that the parent hears a sentence and not a stack trace.
func guarded[J, P, R any](ctx context.Context, job J, progress func(P),
	run func(context.Context, J, func(P)) (R, error)) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
			if cause, ok := p.(error); ok && errors.Is(cause, context.Canceled) {
				err = cause
			}
		}
	}()
	return run(ctx, job, progress)
}

// sender writes messages one at a time.
type sender struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func (s *sender) send(kind string, value any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encoder.Encode(map[string]any{kind: value})
}
