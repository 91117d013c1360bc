package xla

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/pkg/core/graph"
)

func TestOpenWithoutPlugin(t *testing.T) {
	home := t.TempDir()
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	backend, err := Open(log, Options{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	if backend.Name() != "SimpleGo (go)" && backend.Name() != "go" {
		t.Errorf("backend is %q, want gomlx's pure-Go one", backend.Name())
	}
	if !strings.Contains(logged.String(), "100 times slower") || !strings.Contains(logged.String(), "make setup") {
		t.Errorf("no warning about speed in the log: %s", logged.String())
	}
	for _, device := range []Device{CPU, CUDA} {
		if _, err := Open(log, Options{Home: home, Device: device}); !errors.Is(err, ErrNoPlugin) {
			t.Errorf("Open(%s) error = %v, want ErrNoPlugin", device, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	broken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(broken, "pjrt"), 0o700); err != nil {
		t.Fatal(err)
	}
	plugin := filepath.Join(broken, "pjrt", "pjrt_c_api_cpu_plugin.so")
	if err := os.WriteFile(plugin, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	comma := filepath.Join(t.TempDir(), "a,b")
	if err := os.MkdirAll(filepath.Join(comma, "pjrt"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(comma, "pjrt", "pjrt_c_api_cpu_plugin.so"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		opts  Options
		names string
	}{
		"broken plugin":    {Options{Home: broken}, plugin},
		"comma":            {Options{Home: comma, Device: CPU}, "comma"},
		"unknown device":   {Options{Device: "tpu"}, "tpu"},
		"negative threads": {Options{Threads: -1}, "threads"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(log, test.opts); err == nil || !strings.Contains(err.Error(), test.names) {
				t.Errorf("error = %v, want one that names %q", err, test.names)
			}
		})
	}
}

func TestPluginPathComesFirst(t *testing.T) {
	first, home := t.TempDir(), t.TempDir()
	for _, folder := range []string{first, filepath.Join(home, "pjrt")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "pjrt_c_api_cuda_plugin.so"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := filepath.Join(first, "pjrt_c_api_cuda_plugin.so")
	if got := findPlugin(Options{Home: home, PluginPath: ":" + first}, CUDA); got != want {
		t.Errorf("findPlugin = %q, want %q", got, want)
	}
}

func TestThreads(t *testing.T) {
	t.Setenv("NPROC", "7")
	restore := setThreads(3)
	if got := os.Getenv("NPROC"); got != "3" {
		t.Errorf("NPROC = %q while the client is made, want 3", got)
	}
	restore()
	if got := os.Getenv("NPROC"); got != "7" {
		t.Errorf("NPROC = %q after, want 7", got)
	}
}

func TestOpenPlugin(t *testing.T) {
	backend, err := Open(slog.Default(), Options{Home: os.Getenv("PRUNELLM_HOME"), Device: CPU, Threads: 1})
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no plugin (make setup fetches it): %v", err)
	}
	defer backend.Finalize()
	if !backend.HasSharedBuffers() {
		t.Error("the CPU backend does not share buffers with Go")
	}
	sum, err := graph.ExecOnce(backend, func(x *graph.Node) *graph.Node { return graph.ReduceAllSum(x) }, []float32{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	if got := sum.Value(); got != float32(6) {
		t.Errorf("sum = %v, want 6", got)
	}
}
