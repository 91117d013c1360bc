package jobs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"
)

// Call is an order in the form that its handler receives.
type Call struct {
	Payload    json.RawMessage
	Values     Values
	Folder     string // for files that the job needs meanwhile; it is removed afterwards
	Background bool   // requests are answered meanwhile
}

// Now returns a clock that stands still while the job is stopped (see Pauser).
func (c *Call) Now() func() time.Time { return workingClock(filepath.Join(c.Folder, heldFile)) }

// Handler performs the jobs of one kind. Its payload and its reports are encoded as JSON.
type Handler func(ctx context.Context, call *Call, progress func(report any)) (payload any, values Values, err error)

// Serve is the child's side. It reads one order from in, performs it, and reports on out. When in ends, the parent is
// gone and Serve calls exit. Pass os.Exit: native code in a handler cannot be interrupted. Errors of the job are
// reported to the parent and returned.
func Serve(ctx context.Context, in io.Reader, out io.Writer, exit func(int), handlers map[Kind]Handler) error {
	reader := bufio.NewReaderSize(in, maxLine)
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	var order Order
	if err := json.Unmarshal(line, &order); err != nil {
		return fmt.Errorf("parse order: %w", err)
	}
	// The parent holds its end open while it waits for the result. The goroutine ends with the process.
	go func() {
		_, _ = io.Copy(io.Discard, reader)
		exit(1)
	}()
	sender := &sender{encoder: json.NewEncoder(out)}
	result, err := order.do(ctx, handlers, func(report any) {
		if encoded, err := encode("progress", report); err == nil {
			_ = sender.send(message{Progress: encoded}) // the parent does not read
		}
	})
	if err != nil {
		_ = sender.send(message{Error: err.Error()})
		return err
	}
	return sender.send(message{Result: result})
}

// do calls the handler and stores its values in the folder. It turns a panic of the handler into an error, so that the
// parent receives a sentence and not a stack trace.
func (o Order) do(ctx context.Context, handlers map[Kind]Handler, progress func(report any)) (result *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v", p)
			if cause, ok := p.(error); ok && errors.Is(cause, context.Canceled) {
				err = cause
			}
		}
	}()
	handler, ok := handlers[o.Kind]
	if !ok {
		return nil, fmt.Errorf("%q is not a kind of job", o.Kind)
	}
	given, err := readValues(o.Folder, o.Values)
	if err != nil {
		return nil, err
	}
	payload, values, err := handler(ctx, &Call{Payload: o.Payload, Values: given, Folder: o.Folder, Background: o.Background}, progress)
	if err != nil {
		return nil, err
	}
	result = &Result{}
	if result.Payload, err = encode("result", payload); err != nil {
		return nil, err
	}
	result.Values, err = values.write(o.Folder)
	return result, err
}

// sender writes messages one at a time.
type sender struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func (s *sender) send(m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encoder.Encode(m)
}
