package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"prunellm/infer"
	"prunellm/openapi"
)

// sink receives a job's chunks: a collected response or a stream. consume calls open once per choice, before its first
// chunk.
type sink interface {
	open(choice int) error
	chunk(choice int, chunk infer.Chunk) error
}

// consume feeds the sink until every choice has finished. It calls idle, which may be nil, after a silence.
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
			case !ok && j.ctx.Err() == nil: // readers stop early only on an error or when the job ends
				return errors.New("a choice ended without a finish reason")
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

// eventStream writes server-sent events, or lines of JSON. It belongs to the stream writer's goroutine.
type eventStream struct {
	w         *bufio.Writer
	dialect   dialect
	requestID string
}

// data sends one event. A failed flush means that the client disconnected or reads too slowly.
func (s eventStream) data(value any) error {
	body, err := marshal(value)
	if err != nil {
		return err
	}
	return s.raw("data: ", body)
}

// named sends one event with its type.
func (s eventStream) named(kind string, value any) error {
	body, err := marshal(value)
	if err != nil {
		return err
	}
	return s.raw("event: "+kind+"\ndata: ", body)
}

// line sends a line of JSON.
func (s eventStream) line(value any) error {
	body, err := marshal(value)
	if err != nil {
		return err
	}
	return s.write("", body, "\n")
}

func (s eventStream) raw(prefix string, body []byte) error { return s.write(prefix, body, "\n\n") }

func (s eventStream) write(prefix string, body []byte, end string) error {
	_, _ = s.w.WriteString(prefix) // a bufio.Writer returns its first error at Flush
	_, _ = s.w.Write(body)
	_, _ = s.w.WriteString(end)
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

// done sends the end of a stream of chats or completions.
func (s eventStream) done() error { return s.raw("data: ", []byte("[DONE]")) }

// streamSink is a sink that writes events.
type streamSink interface {
	sink
	start() error                     // before the first chunk, when the prompt is still to be prefilled
	idle() error                      // after a silence
	finish(usage openapi.Usage) error // after the last chunk of the last choice
	fail(body *openapi.Error) error   // the status is already sent, so the error becomes the last event
}

// outSink is the part of a streamSink that is the same for streams whose events hold nothing but the answer.
type outSink struct {
	out *eventStream // nil: the answer is collected for one JSON object
}

func (s outSink) open(int) error { return nil }

func (s outSink) start() error { return nil }

func (s outSink) idle() error { return s.out.ping() }

func (s outSink) fail(body *openapi.Error) error { return s.out.failed(body) }

// respond responds with events if streamed is set, and otherwise with the JSON object that end makes of the sink. prepare and
// newSink are as in stream; newSink's argument is nil for the object.
func respond[S streamSink](c *fiber.Ctx, j *job, model openapi.ModelName, streamed bool, prepare func() (<-chan event, error),
	newSink func(out *eventStream) S, end func(to S, usage openapi.Usage) any,
) error {
	if streamed {
		return j.stream(c, model, prepare, func(out eventStream) streamSink { return newSink(&out) })
	}
	to, err := whole(c, j, model, prepare, func() S { return newSink(nil) })
	if err != nil {
		return err
	}
	return writeJSON(c, end(to, j.tally.total()))
}

// whole acquires the variant and consumes a response that is not streamed into the sink that newSink returns. prepare and
// newSink are as in stream.
func whole[S sink](c *fiber.Ctx, j *job, model openapi.ModelName, prepare func() (<-chan event, error), newSink func() S) (S, error) {
	var none S
	if err := j.acquire(c, model); err != nil {
		return none, err
	}
	events, err := prepare()
	if err != nil {
		return none, err
	}
	to := newSink()
	return to, j.consume(events, to, nil)
}

// stream responds with events and takes the job over from the handler. prepare submits the requests once the variant is
// loaded; newSink is called after it. If the variant must be made first, the stream begins with pings, and
// errors are events; otherwise errors have their HTTP status. Neither function may use the *fiber.Ctx, because both may
// run on the writer's goroutine.
func (j *job) stream(c *fiber.Ctx, model openapi.ModelName, prepare func() (<-chan event, error), newSink func(eventStream) streamSink) error {
	wait := waits(c)
	pinned := make(chan error, 1) // the handler or the writer receives it, unless the job ends first
	j.readers.Go(func() { pinned <- j.pinSafely(model, wait) })
	var events <-chan event
	patience := time.NewTimer(j.server.options.PingInterval)
	defer patience.Stop()
	select {
	case err := <-pinned:
		if err != nil {
			return err
		}
		if events, err = prepare(); err != nil {
			return err
		}
		pinned = nil
		j.nameVariant(c)
	case <-patience.C:
	}
	speaks := dialectOf(c.Path())
	c.Set(fiber.HeaderContentType, speaks.streamType())
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set("X-Accel-Buffering", "no")
	j.streaming = true
	writer := func(w *bufio.Writer) {
		defer j.end()
		defer func() { // a panic on this goroutine would end the process
			if reason := recover(); reason != nil {
				j.server.log.Error("panic in stream", "request_id", j.requestID, "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
			}
		}()
		out := eventStream{w, speaks, j.requestID}
		if pinned != nil {
			var err error
			if events, err = j.awaitVariant(out, pinned, prepare); err != nil {
				j.streamFailed(out, nil, err)
				return
			}
		}
		to := newSink(out)
		if err := j.write(events, to); err != nil {
			j.streamFailed(out, to, err)
		}
	}
	if !c.Request().Header.IsHTTP11() {
		writer = j.evenUnwritten(writer)
	}
	c.Locals(localStream, fasthttp.StreamWriter(writer))
	return nil
}

// writeUnchunked writes a stream in HTTP/1.0, where the end of the connection ends the body. It hijacks the connection,
// because fasthttp would write chunks.
func writeUnchunked(ctx *fasthttp.RequestCtx, stream fasthttp.StreamWriter) {
	ctx.SetConnectionClose()
	header := bytes.Clone(ctx.Response.Header.Header())
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(conn net.Conn) {
		w := bufio.NewWriter(conn)
		_, _ = w.Write(header) // a bufio.Writer returns its first error at the stream's flush
		stream(w)
		_ = w.Flush()
	})
}

// evenUnwritten ends the job with its context if the writer never runs. fasthttp drops a hijacked connection if it
// cannot write the response to an earlier request on it.
func (j *job) evenUnwritten(writer func(*bufio.Writer)) func(*bufio.Writer) {
	var taken atomic.Bool
	context.AfterFunc(j.ctx, func() {
		if !taken.Swap(true) {
			j.end()
		}
	})
	return func(w *bufio.Writer) {
		if !taken.Swap(true) {
			writer(w)
		}
	}
}

// pinSafely calls pin on its own goroutine, where a panic would end the process.
func (j *job) pinSafely(model openapi.ModelName, wait bool) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic while a variant was acquired: %v\n%s", reason, debug.Stack())
		}
	}()
	return j.pin(model, wait)
}

// awaitVariant sends pings until the variant is loaded.
func (j *job) awaitVariant(out eventStream, pinned <-chan error, prepare func() (<-chan event, error)) (<-chan event, error) {
	if err := out.ping(); err != nil {
		return nil, err
	}
	ticker := time.NewTicker(j.server.options.PingInterval)
	defer ticker.Stop()
	for {
		select {
		case err := <-pinned:
			if err != nil {
				return nil, err
			}
			return prepare()
		case <-ticker.C:
			if err := out.ping(); err != nil {
				return nil, err
			}
		}
	}
}

func (j *job) write(events <-chan event, to streamSink) error {
	if err := to.start(); err != nil {
		return err
	}
	if err := j.consume(events, to, to.idle); err != nil {
		return err
	}
	return to.finish(j.tally.total())
}

// streamFailed sends an error as the last event. to is nil if the stream has no events yet.
func (j *job) streamFailed(out eventStream, to streamSink, err error) {
	if errors.Is(err, errClientGone) {
		j.server.log.Info("client left", "request_id", j.requestID)
		return
	}
	f := classify(err, j.requestID)
	if f.hidden {
		j.server.log.Error("stream failed", "request_id", j.requestID, "error", err)
	}
	if to == nil {
		_ = out.failed(f.body) // the stream has failed already
		return
	}
	_ = to.fail(f.body)
}
