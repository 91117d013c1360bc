package infer

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// stream is the Generation of one request: the output that the loop has produced and the client has not yet read. It
// buffers for a slow client, up to the request's MaxTokens, so that the loop never waits.
type stream struct {
	ctx context.Context // Submit's, which bounds the whole answer

	mu      sync.Mutex
	thought []byte
	text    []byte
	tokens  []TokenInfo
	prompt  []TokenInfo
	usage   Usage
	finish  FinishReason
	stop    string // that ended the answer
	err     error  // the end, once set; io.EOF after Finish was taken
	ready   chan struct{}
	begun   time.Time     // when Submit was called
	queued  time.Duration // until the request got a sequence
}

func newStream(ctx context.Context) *stream {
	return &stream{ctx: ctx, begun: time.Now(), ready: make(chan struct{}, 1)} // a token means that there is output
}

// put appends to the buffer. finish "" means that the answer continues.
func (s *stream) put(text []byte, tokens []TokenInfo, usage Usage, finish FinishReason) {
	s.mu.Lock()
	s.text = append(s.text, text...)
	s.tokens = append(s.tokens, tokens...)
	s.usage = usage
	s.finish = finish
	s.mu.Unlock()
	s.signal()
}

// think appends to the thinking; a put follows.
func (s *stream) think(text []byte) {
	s.mu.Lock()
	s.thought = append(s.thought, text...)
	s.mu.Unlock()
}

// admitted records that the request has a sequence.
func (s *stream) admitted() {
	s.mu.Lock()
	s.queued = time.Since(s.begun)
	s.mu.Unlock()
}

// stoppedBy records the stop string that ends the answer, before the end is put.
func (s *stream) stoppedBy(stop string) {
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
}

// describePrompt adds the prompt's tokens to the first chunk, before anything is put.
func (s *stream) describePrompt(tokens []TokenInfo) {
	s.mu.Lock()
	s.prompt = tokens
	s.mu.Unlock()
}

// fail ends the answer. The client can still read earlier output.
func (s *stream) fail(err error) {
	s.mu.Lock()
	if s.err == nil && s.finish == "" {
		s.err = err
	}
	s.mu.Unlock()
	s.signal()
}

func (s *stream) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next implements Generation.
func (s *stream) Next(ctx context.Context) (Chunk, error) {
	for {
		if chunk, ok, err := s.take(); ok || err != nil {
			return chunk, err
		}
		select {
		case <-s.ready:
		case <-s.ctx.Done():
			// Output that the loop has added meanwhile does not matter: the client has disconnected.
			return Chunk{}, s.ctx.Err()
		case <-ctx.Done():
			return Chunk{}, ctx.Err()
		}
	}
}

func (s *stream) take() (Chunk, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.thought) == 0 && len(s.text) == 0 && len(s.tokens) == 0 && s.finish == "" {
		return Chunk{}, false, s.err
	}
	if errors.Is(s.err, io.EOF) {
		return Chunk{}, false, io.EOF
	}
	chunk := Chunk{Thinking: string(s.thought), Text: string(s.text), Tokens: s.tokens, Prompt: s.prompt, Finish: s.finish, Stop: s.stop, Usage: s.usage, Queued: s.queued}
	s.thought, s.text, s.tokens, s.prompt = s.thought[:0], s.text[:0], nil, nil
	if s.finish != "" {
		s.err = io.EOF
	}
	return chunk, true, nil
}
