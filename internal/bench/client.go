package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Target is a server, or one model of a server.
type Target struct {
	Name  string // in reports
	URL   string // base of the API, ending in "/v1"
	Model string // the request's "model"
	Key   string // bearer token; "" sends none
	// About describes the model behind the target; nil when it is unknown.
	About *About
}

// About describes a model in a report. An unknown field is 0 or nil.
type About struct {
	Ratio        float64 // requested share of all parameters removed
	RatioReached float64
	Parameters   int64
	Bytes        int64 // of the model's file
	// MemoryBytes is the largest resident size of the server process; 0 when it is unknown.
	MemoryBytes     int64
	Perplexity      *float64 // on held-out calibration text
	PerplexityRatio *float64 // relative to the dense model's
	KLToDense       *float64 // nats per token
	Top1Agreement   *float64 // in [0,1]
}

// Sample is the result of one request. Times count from Begin: its arrival in an open loop, its sending in a closed one.
type Sample struct {
	Begin        time.Time
	First        time.Duration   // to the first text
	Last         time.Duration   // to the last text
	Gaps         []time.Duration // between two events with text
	End          time.Duration   // to the end of the stream
	PromptTokens int
	OutputTokens int
	Err          error // nil when the answer was complete
}

// TPOT returns the mean time per output token after the first; 0 for answers of one token.
func (s Sample) TPOT() time.Duration {
	if s.OutputTokens < 2 {
		return 0
	}
	return (s.Last - s.First) / time.Duration(s.OutputTokens-1)
}

// maxEventBytes bounds a line of a stream.
const maxEventBytes = 1 << 20

// maxErrorBytes bounds the part of an error's body in a message.
const maxErrorBytes = 300

// newClient returns a client that reuses connections. It requests no compression, because its cost would count.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute, DisableCompression: true, Proxy: http.ProxyFromEnvironment,
	}}
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// chatBody requests an answer of exactly max_tokens, with ignore_eos. A server that ignores this field may stop earlier; its
// usage then has the number of tokens.
type chatBody struct {
	Model         string         `json:"model"`
	Messages      []chatMessage  `json:"messages"`
	MaxTokens     int            `json:"max_tokens"`
	Stream        bool           `json:"stream"`
	StreamOptions map[string]any `json:"stream_options"`
	Temperature   float64        `json:"temperature"`
	Seed          int            `json:"seed"`
	IgnoreEOS     bool           `json:"ignore_eos"`
}

// ask streams one answer. Errors are in the sample.
func ask(ctx context.Context, client *http.Client, target Target, r request, begin time.Time) Sample {
	s := Sample{Begin: begin}
	s.Err = s.stream(ctx, client, target, r)
	s.End = time.Since(begin)
	return s
}

func (s *Sample) stream(ctx context.Context, client *http.Client, target Target, r request) error {
	body, err := json.Marshal(chatBody{
		Model: target.Model, Messages: []chatMessage{{Role: "user", Content: r.prompt}}, MaxTokens: r.tokens, Stream: true,
		StreamOptions: map[string]any{"include_usage": true}, Temperature: 1, Seed: 1, IgnoreEOS: true,
	})
	if err != nil {
		return err
	}
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(target.URL, "/")+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	call.Header.Set("Content-Type", "application/json")
	call.Header.Set("Accept", "text/event-stream")
	if target.Key != "" {
		call.Header.Set("Authorization", "Bearer "+target.Key)
	}
	response, err := client.Do(call)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes+1)) // on an error, use the part that was read
		return fmt.Errorf("%s: %s: %s", call.URL, response.Status, oneLine(string(text)))
	}
	err = s.read(response.Body, r.tokens)
	if kind := response.Header.Get("Content-Type"); errors.Is(err, errNoEvent) {
		return fmt.Errorf("%s: %w (Content-Type %s)", call.URL, err, strconv.Quote(kind))
	}
	return err
}

var (
	errNoText  = errors.New("the stream has no text")
	errNoEvent = errors.New("the response is not a stream of events")
	errCut     = errors.New("the stream ended before its [DONE]")
	errLong    = fmt.Errorf("a line of the stream has more than %d bytes", maxEventBytes)
)

// read records the times of the events of a stream.
func (s *Sample) read(body io.Reader, tokens int) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4<<10), maxEventBytes)
	s.Gaps = make([]time.Duration, 0, min(tokens, 1<<12))
	events, streamed, done := 0, false, false
	for lines.Scan() {
		streamed = streamed || bytes.HasPrefix(lines.Bytes(), dataField)
		e, err := parseEvent(lines.Bytes())
		if err != nil {
			return err
		}
		if e.text {
			now := time.Since(s.Begin)
			if events == 0 {
				s.First = now
			} else {
				s.Gaps = append(s.Gaps, now-s.Last)
			}
			s.Last = now
			events++
		}
		if e.usage != nil {
			s.PromptTokens, s.OutputTokens = e.usage.Prompt, e.usage.Completion
		}
		done = done || e.done
	}
	switch {
	case errors.Is(lines.Err(), bufio.ErrTooLong):
		return errLong
	case lines.Err() != nil:
		return lines.Err()
	case !streamed:
		return errNoEvent
	case !done:
		return errCut
	case events == 0:
		return errNoText
	}
	if s.OutputTokens == 0 {
		s.OutputTokens = events // without usage, each event counts as one token
	}
	return nil
}
