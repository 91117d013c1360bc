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

// Call is an order as its handler receives it.
type Call struct {
	Payload    json.RawMessage
	Values     Values
	Folder     string // folder for files that the job needs while it runs; it is removed afterwards
	Background bool   // whether the server may answer requests at the same time
}

// Now returns a clock that does not advance while the job is stopped (see Pauser).
func (c *Call) Now() func() time.Time { return workingClock(filepath.Join(c.Folder, heldFile)) }

// Handler does the jobs of one kind. Its payload and its reports are encoded as JSON.
type Handler func(ctx context.Context, call *Call, progress func(report any)) (payload any, values Values, err error)

// Serve is the child's side. It reads one order from in, does the job and writes reports to out. The end of in means
// that the parent is gone; Serve then calls exit. Pass os.Exit, because native code in a handler cannot be interrupted.
// Serve reports errors of the job to the parent and returns them.
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
	// The parent keeps its end open while it waits for the result. The goroutine ends with the process.
	go func() {
		_, _ = io.Copy(io.Discard, reader)
		exit(1)
	}()
	sender := &sender{encoder: json.NewEncoder(out)}
	result, err := order.do(ctx, handlers, func(report any) {
		if encoded, err := encode("progress", report); err == nil {
			_ = sender.send(message{Progress: encoded}) // an error means that the parent is gone
		}
	})
	if err != nil {
		_ = sender.send(message{Error: err.Error()})
		return err
	}
	return sender.send(message{Result: result})
}

// do calls the handler and writes its values to the folder. It turns a panic of the handler into an error, so that the
// parent receives a message instead of a stack trace.
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
		return nil, fmt.Errorf("%q is not a valid kind of job", o.Kind)
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
