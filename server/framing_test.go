package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// framedReply is a response and how it marks its end.
type framedReply struct {
	reply
	length          int64 // -1: absent
	chunked, closes bool
}

// exchange sends bytes on a new connection and returns everything received until the server closes it.
func (s *testServer) exchange(request string) []framedReply {
	s.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		s.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		s.Fatalf("the connection stays open after %q: %v", all, err)
	}
	var out []framedReply
	for in := bufio.NewReader(bytes.NewReader(all)); ; {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			return out
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			s.Fatal(err)
		}
		response.Body.Close()
		whole := reply{response.StatusCode, response.Header, body}
		out = append(out, framedReply{whole, response.ContentLength, response.TransferEncoding != nil, response.Close})
	}
}

const framed = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// TestFraming sends requests whose length is ambiguous, with another request inside the body and one after it.
func TestFraming(t *testing.T) {
	const (
		body   = `{"prompt":"abc"}`
		hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
		last   = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	longer := fmt.Sprintf("Content-Length: %d\r\n", len(body)+len(hidden))
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	tests := []struct {
		name, headers, body string
		refused             bool
	}{
		{"one length", length, body, false},
		{"the same length twice", length + length, body, false},
		{"chunked", "transfer-encoding: Chunked\r\n", chunks, false},
		{"two lengths, the shorter one last", longer + length, body + hidden, true},
		{"two lengths, the longer one last", length + "X-Between: 1\r\n" + longer, body + hidden, true},
		{"a length that is never reached", length + "Content-Length: 1000\r\n", body, true},
		{"a length, then chunked", length + "Transfer-Encoding: chunked\r\n", chunks, true},
		{"chunked, then a length", "Transfer-Encoding: chunked\r\ncontent-length: 5\r\n", chunks, true},
		{"chunked twice", strings.Repeat("Transfer-Encoding: chunked\r\n", 2), chunks, true},
		{"another encoding", "Transfer-Encoding: gzip, chunked\r\n", chunks, true},
		{"identity and a length", "Transfer-Encoding: identity\r\n" + length, body, true},
		{"an encoding that only looks like chunked", "Transfer-Encoding: xchunked\r\n", chunks, true},
		{"a folded line", "Transfer-Encoding: chunked\r\n , gzip\r\n", chunks, true},
		{"a client that waits for 100 Continue", longer + length + "Expect: 100-continue\r\n", body + hidden, true},
	}
	s := serve(t, newFake())
	for _, test := range tests {
		for _, before := range []string{"", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
			t.Run(fmt.Sprintf("%s/pipelined %t", test.name, before != ""), func(t *testing.T) {
				var got []int
				replies := s.exchange(before + framed + test.headers + "\r\n" + test.body + last)
				for _, reply := range replies {
					if reply.status != http.StatusContinue {
						got = append(got, reply.status)
					}
				}
				want := []int{200, 200, 200}
				if test.refused {
					want = []int{200, 400}
				}
				if before == "" {
					want = want[1:]
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("answers %v, want %v", got, want)
				}
				end := replies[len(replies)-1]
				if !end.closes || end.header.Get("X-Request-Id") == "" || (test.refused && !bytes.Contains(end.body, []byte(`"code":"bad_request"`))) {
					t.Errorf("the last answer has headers %v and body %s", end.header, end.body)
				}
			})
		}
	}
}

// TestFramingOfHTTP10 covers HTTP/1.0, which has no transfer encodings.
func TestFramingOfHTTP10(t *testing.T) {
	got := serve(t, newFake()).exchange(strings.Replace(framed, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
	if len(got) != 1 || got[0].status != 400 {
		t.Errorf("answers %v, want one 400", got)
	}
}

func BenchmarkMisframed(b *testing.B) {
	var header fasthttp.RequestHeader
	raw := framed + "Authorization: Bearer sk-0123456789\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: OpenAI/Python 2.8.1\r\n" +
		strings.Repeat("X-Stainless-Runtime: CPython\r\n", 8) + "Content-Length: 1234\r\n\r\n"
	if err := header.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if misframed(&header) {
			b.Fatal("a plain request is refused")
		}
	}
}
