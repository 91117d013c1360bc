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

// Proxy is a TCP proxy in front of a server that can be slow or silent.
type Proxy struct {
	// URL reaches the server through the proxy.
	URL string

	listener net.Listener
	target   string
	delay    atomic.Int64 // nanoseconds before each answer is passed on
	budget   atomic.Int64 // bytes of answers still passed on; below 0: no limit
	wait     sync.WaitGroup
	done     chan struct{} // closed by close

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// StartProxy puts a proxy in front of the server until the test ends.
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

// SetDelay makes each piece of an answer wait.
func (p *Proxy) SetDelay(d time.Duration) { p.delay.Store(int64(d)) }

// CutAfter lets n more bytes of answers pass and then closes every connection that gets one; below 0 lets all pass.
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

// answers passes on what the server says, late or not at all.
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
