package server

import (
	"bufio"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/openapi"
)

// sink is where a job's chunks go: a response that is collected, or a stream. open is called once per choice before its
// first chunk.
type sink interface {
	open(choice int) error
	chunk(choice int, chunk infer.Chunk) error
}

// consume feeds the sink until every choice has finished. idle is called when nothing came for a while; it may be nil.
func (j *job) consume(events <-chan event, to sink, idle func() error) error {
	var ping <-chan time.Time
	interval := j.server.options.PingInterval
	if idle != nil {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		ping = ticker.C
	}
	opened := make([]bool, len(j.tally.usage))
	last := time.Now()
	for {
		select {
		case e, ok := <-events:
			switch {
			case !ok && j.tally.complete():
				return nil
			case !ok && j.ctx.Err() == nil: // readers stop early only with an error or when the job ends
				return errors.New("the choices ended without a finish")
			case !ok:
				return j.cause(j.ctx.Err())
			case e.err != nil:
				return j.cause(e.err)
			}
			last = time.Now()
			j.tally.add(e, last, j.server.metrics)
			if !opened[e.choice] {
				opened[e.choice] = true
				if err := to.open(e.choice); err != nil {
					return err
				}
			}
			if err := to.chunk(e.choice, e.chunk); err != nil {
				return err
			}
		case <-ping:
			if time.Since(last) < interval {
				continue
			}
			if err := idle(); err != nil {
				return err
			}
		case <-j.ctx.Done():
			return j.cause(j.ctx.Err())
		}
	}
}

// eventStream writes server-sent events. It belongs to the stream writer's goroutine.
type eventStream struct{ w *bufio.Writer }

// data sends one event; a failed flush means that the client is gone or too slow.
func (s eventStream) data(value any) error {
	body, err := marshal(value)
	if err != nil {
		return err
	}
	return s.raw("data: ", body)
}

func (s eventStream) raw(prefix string, body []byte) error {
	_, _ = s.w.WriteString(prefix) // a bufio.Writer keeps its first error for Flush
	_, _ = s.w.Write(body)
	_, _ = s.w.WriteString("\n\n")
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

// ping is a comment, which clients skip; writing it shows whether somebody still reads.
func (s eventStream) ping() error { return s.raw(": ping", nil) }

// streamSink is a sink that writes events.
type streamSink interface {
	sink
	finish(usage openapi.Usage) error // after the last chunk of the last choice
}

// stream sends the job's chunks as events and takes the job over from the handler. newSink is called on the writer's
// goroutine, where the *fiber.Ctx must not be used.
func (j *job) stream(c *fiber.Ctx, events <-chan event, newSink func(eventStream) streamSink) {
	c.Set(fiber.HeaderContentType, "text/event-stream; charset=utf-8")
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set("X-Accel-Buffering", "no")
	j.streaming = true
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer j.end()
		defer func() { // a panic on this goroutine would end the process
			if reason := recover(); reason != nil {
				j.server.log.Error("panic in stream", "request_id", j.requestID, "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
			}
		}()
		out := eventStream{w}
		if err := j.write(events, newSink(out), out); err != nil {
			j.streamFailed(out, err)
		}
	})
}

func (j *job) write(events <-chan event, to streamSink, out eventStream) error {
	if err := j.consume(events, to, out.ping); err != nil {
		return err
	}
	if err := to.finish(j.tally.total()); err != nil {
		return err
	}
	return out.raw("data: ", []byte("[DONE]"))
}

// streamFailed tells the client what happened: the status has long been sent, so the error is the stream's last event.
func (j *job) streamFailed(out eventStream, err error) {
	f := classify(err, j.requestID)
	if f.status == statusClientGone {
		j.server.log.Info("client left", "request_id", j.requestID)
		return
	}
	if f.hidden {
		j.server.log.Error("stream failed", "request_id", j.requestID, "error", err)
	}
	_ = out.data(openapi.ErrorBody{Error: f.body}) // whether it arrives makes no difference any more
}
