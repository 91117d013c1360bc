package server

import "golang.org/x/sys/unix"

// hungUp uses poll, which reports a FIN or RST even after unread bytes (a pipelined request, TLS records). A peek would show only
// those bytes.
func hungUp(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}
