package server

import "golang.org/x/sys/unix"

// hungUp asks poll, which reports a FIN or RST also behind unread bytes (a pipelined request, TLS records). A peek would
// see those bytes only.
func hungUp(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}
