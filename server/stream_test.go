package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// old returns a chat request in HTTP/1.0.
func old(headers, extra string) string {
	body := `{` + hi + extra + `}`
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", headers, len(body), body)
}

// TestStreamOfHTTP10 covers HTTP/1.0, which has no chunks: the end of the connection ends the stream.
func TestStreamOfHTTP10(t *testing.T) {
	for _, headers := range []string{"", "Connection: keep-alive\r\n"} {
		fake := newFake()
		fake.answer = hello
		s := serve(t, fake)
		alive := "GET /healthz HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
		got := s.exchange(alive + old(headers, `,"stream":true`) + alive)
		if len(got) != 2 || got[0].status != 200 || got[1].status != 200 {
			t.Fatalf("%q: answers %v, want two with status 200", headers, got)
		}
		stream := got[1]
		if text, finish, _, _ := streamed(t, stream.body); text[0] != "Hello, wörld!" || finish[0] != "stop" {
			t.Errorf("%q: the stream says %v %v", headers, text, finish)
		}
		if stream.chunked || stream.length != -1 || !stream.closes ||
			stream.header.Get("X-Prunellm-Variant") != "tiny@0.2" || !strings.HasPrefix(stream.header.Get("Content-Type"), "text/event-stream") {
			t.Errorf("%q: headers %v, chunked %t, length %d, closes %t", headers, stream.header, stream.chunked, stream.length, stream.closes)
		}
		whole := s.exchange(old("", ""))
		if len(whole) != 1 || whole[0].status != 200 || whole[0].length <= 0 {
			t.Errorf("an answer that is not streamed is %v", whole)
		}
		refused := s.exchange(old("", `,"stream":true,"n":-1`))
		if len(refused) != 1 || refused[0].status != 400 || refused[0].length <= 0 {
			t.Errorf("a refused stream is %v", refused)
		}
	}
}

// TestClientOfHTTP10Leaves disconnects during the stream, and before the response to an earlier request is written.
func TestClientOfHTTP10Leaves(t *testing.T) {
	for _, before := range []string{"", "GET /healthz HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"} {
		fake := newFake()
		fake.acquire = func(ctx context.Context, _ openapi.ModelName) error {
			<-ctx.Done()
			return ctx.Err()
		}
		s := serve(t, fake, func(o *Options) { o.Probe = 300 * time.Millisecond }) // later than the beginning of the stream
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, before+old("", `,"stream":true`)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the request begins", func() bool { return s.gauge("prunellm_requests_in_flight") == 1 })
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		eventually(t, "the server notices", func() bool { return s.gauge("prunellm_requests_in_flight") == 0 })
	}
}

func BenchmarkChatStreamChunk(b *testing.B) {
	parser := fakeChat(b, toolsUnknown).Parser(&openapi.Turn{}, nil)
	stream := &chatStream{head: head{id: "chatcmpl-x", model: "tiny@0.2", fingerprint: "fp_x"}, out: eventStream{w: bufio.NewWriter(io.Discard)},
		parsers: []*chat.Parser{parser}, begun: []bool{true}}
	chunk := infer.Chunk{Text: " token"}
	b.ReportAllocs()
	for b.Loop() {
		if err := stream.chunk(0, chunk); err != nil {
			b.Fatal(err)
		}
	}
}
