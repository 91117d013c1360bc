package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"prunellm/internal/bench"
	"prunellm/internal/jobs"
	"prunellm/internal/variant"
)

// benchServer is a server that bench started for one variant.
type benchServer struct {
	*bench.Server
	built variant.Built
}

// startServer starts a server of a variant's file without further pruning. The calling goroutine must stay locked to its
// thread while the server runs.
func (c *benchCommand) startServer(env *environment, built variant.Built) (*benchServer, error) {
	self, err := jobs.Self()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	n := strconv.Itoa
	cmd := exec.CommandContext(env.ctx, self, "serve", "--model", built.Path, "--ratio", "0", "--addr", "127.0.0.1:0",
		"--log-format", "json", "--home", env.home, "--cache-dir", c.CacheDir,
		"--ctx", n(c.Ctx), "--parallel", n(c.Parallel), "--batch-size", n(c.BatchSize), "--threads", n(c.Threads),
		"--threads-batch", n(c.ThreadsBatch), "--gpu-layers", c.GPULayers, "--draft-max", c.DraftMax, "--max-queue", n(c.MaxQueue))
	cmd.Args[0] = os.Args[0]
	for _, setting := range os.Environ() { // settings of this process must not change the server
		if !strings.HasPrefix(setting, "PRUNELLM_") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	jobs.DieWithParent(cmd)
	server, err := bench.StartServer(env.ctx, cmd, bench.Target{Name: built.Name(), Model: "default"})
	if err != nil {
		return nil, err
	}
	return &benchServer{Server: server, built: built}, nil
}

// closeServers stops all servers and waits for them.
func closeServers(servers []*benchServer) {
	running := make([]*bench.Server, len(servers))
	for i, s := range servers {
		running[i] = s.Server
	}
	bench.CloseServers(running)
}
