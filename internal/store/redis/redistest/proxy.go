package redistest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy is a TCP proxy that can make a server slow or silent.
type Proxy struct {
	// URL is the URL of the server through the proxy.
	URL string

	listener net.Listener
	target   string
	delay    atomic.Int64 // nanoseconds before a response is forwarded
	budget   atomic.Int64 // bytes of responses to forward; below 0 means no limit
	wait     sync.WaitGroup
	done     chan struct{} // closed when the proxy stops

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// StartProxy starts a proxy in front of a server. The proxy stops when the test ends.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		URL: "redis://" + listener.Addr().String(), listener: listener,
		target: fmt.Sprintf("127.0.0.1:%d", s.Port), conns: map[net.Conn]struct{}{}, done: make(chan struct{}),
	}
	p.budget.Store(-1)
	p.wait.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// SetDelay delays each piece of a response.
func (p *Proxy) SetDelay(d time.Duration) { p.delay.Store(int64(d)) }

// CutAfter forwards n more bytes of responses, then closes every connection that receives one. If n is below 0, it
// forwards everything.
func (p *Proxy) CutAfter(n int64) { p.budget.Store(n) }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		if !p.track(client, server) {
			return
		}
		p.wait.Go(func() { io.Copy(server, client); server.Close() })
		p.wait.Go(func() { p.answers(client, server) })
	}
}

// answers forwards the server's responses with the configured delay and limit.
func (p *Proxy) answers(client, server net.Conn) {
	defer client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-time.After(time.Duration(p.delay.Load())):
		case <-p.done:
			return
		}
		if left := p.budget.Load(); left >= 0 {
			n = int(min(int64(n), left))
			p.budget.Add(-int64(n))
			if n == 0 {
				return
			}
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.closed {
			conn.Close()
			continue
		}
		p.conns[conn] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) close() {
	p.listener.Close()
	close(p.done)
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.wait.Wait()
}
