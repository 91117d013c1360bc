package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"prunellm/internal/machine"
)

// Server is a server of one variant in its own process, as a user runs it. Its memory therefore does not include the client's.
type Server struct {
	Target Target
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	tail   string        // the last error that it logged; read after exited
}

// StartServer starts a command that serves and logs JSON lines, one of which is "listening" with an addr. It waits for that
// line. The calling goroutine must stay on its thread until the server ends.
func StartServer(ctx context.Context, cmd *exec.Cmd, target Target) (*Server, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{cmd: cmd, Target: target, exited: make(chan struct{})}
	listening := make(chan string, 1) // one slot, so the sender never blocks if nothing waits for the address
	go func() {
		s.tail = followLog(stderr, listening)
		_ = cmd.Wait() // its last error gives the reason
		close(s.exited)
	}()
	select {
	case s.Target.URL = <-listening:
		s.Target.URL += "/v1"
		return s, nil
	case <-s.exited:
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.ended()
	}
}

func (s *Server) ended() error {
	if s.tail == "" {
		return errors.New("the server ended")
	}
	return fmt.Errorf("the server ended: %s", s.tail)
}

// followLog reads a server's log to its end. It sends the address that the server listens on, and returns the last
// error or the last line that is no log entry.
func followLog(r io.Reader, listening chan<- string) (tail string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), 1<<20)
	for lines.Scan() {
		var entry struct{ Level, Msg, Addr, Error string }
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			tail = strings.TrimPrefix(lines.Text(), "prunellm: ")
			continue
		}
		if entry.Msg == "listening" && entry.Addr != "" {
			select {
			case listening <- entry.Addr:
			default:
			}
		}
		if entry.Level == "ERROR" {
			tail = entry.Msg + ": " + entry.Error
		}
	}
	_, _ = io.Copy(io.Discard, r) // after a line that is too long, the server must not block
	return tail
}

// WaitReady waits until the server is ready. A server that cannot load a variant retries forever, so its first error ends the
// wait.
func (s *Server) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.exited:
			return s.ended()
		case <-tick.C:
		}
		call, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.Target.URL, "/v1")+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(call)
		if err != nil {
			continue // not listening yet, or ended, which the next iteration detects
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxModelsBytes))
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		if bytes.Contains(body, []byte("the last attempt failed")) {
			return fmt.Errorf("not loaded: %s", strings.Join(strings.Fields(string(body)), " "))
		}
	}
}

// CloseServers ends all servers and waits for them.
func CloseServers(servers []*Server) {
	for _, s := range servers {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended
	}
	for _, s := range servers {
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.exited
		}
	}
}

// PeakMemory returns the largest resident size of the server so far, in bytes; 0 if the system does not report it.
func (s *Server) PeakMemory() int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	return procField(string(data), "VmHWM")
}

// procField reads a line "Name:  123 kB" and returns bytes.
func procField(text, name string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// Hardware returns a line that describes the part of this machine that the process may use.
func Hardware() string {
	name := runtime.GOARCH
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s", name, machine.Cores(), runtime.GOOS)
}
