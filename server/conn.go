package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// sendBufferBytes bounds the kernel's send buffer, so that a client that does not read is noticed early.
	sendBufferBytes = 128 << 10
	// Closing a connection with unread data resets it, and the client may lose the response that gives the reason. The
	// server therefore reads on for lingerTime, up to a limit, before it closes.
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
	// Backoff between attempts to accept when the system has no free descriptor or memory, and the interval between log
	// lines about it.
	firstAcceptPause = 5 * time.Millisecond
	lastAcceptPause  = time.Second
	acceptLogPause   = time.Minute
)

// listener wraps the connections that it accepts and keeps a list of the open ones. With HTTPS it is below TLS.
type listener struct {
	net.Listener
	writeTimeout time.Duration
	log          *slog.Logger
	lacked       time.Time // when the log last reported too many connections; only Accept uses it

	once   sync.Once
	closed chan struct{}
	mu     sync.Mutex
	open   map[*conn]struct{}
}

func newListener(inner net.Listener, writeTimeout time.Duration, log *slog.Logger) *listener {
	return &listener{Listener: inner, writeTimeout: writeTimeout, log: log, closed: make(chan struct{}), open: map[*conn]struct{}{}}
}

// Close implements net.Listener. A second call does nothing.
func (l *listener) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// closeConnections closes every connection, busy or idle.
func (l *listener) closeConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Conn.Close()
	}
}

// lacksRoom reports whether accept failed for lack of a resource that closing connections frees.
func lacksRoom(err error) bool {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}

// acceptPatiently retries with backoff while the system lacks resources for a connection. fasthttp would stop the
// server at any accept error except a timeout.
func (l *listener) acceptPatiently() (net.Conn, error) {
	for pause := firstAcceptPause; ; pause = min(2*pause, lastAcceptPause) {
		inner, err := l.Listener.Accept()
		if err == nil || !lacksRoom(err) {
			return inner, err
		}
		if now := time.Now(); now.Sub(l.lacked) >= acceptLogPause {
			l.lacked = now
			l.log.Warn("cannot accept connections until others close; the limit of open files may be too low", "error", err)
		}
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-time.After(pause):
		}
	}
}

// Accept implements net.Listener. One goroutine calls it.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.acceptPatiently()
	if err != nil {
		return nil, err
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBufferBytes) // best effort
	}
	c := &conn{Conn: inner, listener: l}
	l.mu.Lock()
	l.open[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

// conn sets a deadline for each write. fasthttp's WriteTimeout would bound a whole stream instead.
type conn struct {
	net.Conn
	listener *listener
	linger   atomic.Bool // set when the rest of a request stays unread
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.listener.writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Swap(false) {
		if half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn. It returns an error if there is no socket.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if inner, ok := c.Conn.(syscall.Conn); ok {
		return inner.SyscallConn()
	}
	return nil, syscall.ENOTSOCK
}

// below unwraps TLS and returns the connection that the listener accepted.
func below(c net.Conn) net.Conn {
	for {
		tls, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = tls.NetConn()
	}
}

// peerGone reports whether the peer has closed its side of the connection, without reading from it. As in net/http, a
// client that shuts down only its sending side counts as gone. Without a socket it reports false.
func peerGone(c net.Conn) bool {
	socket, ok := below(c).(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	// Control instead of Read: Read fails once the read deadline that fasthttp set has passed.
	if err := raw.Control(func(fd uintptr) { gone = hungUp(fd) }); err != nil {
		return true // this side closed it
	}
	return gone
}
