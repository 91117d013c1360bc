package xla

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
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

func TestSetEnvironment(t *testing.T) {
	const own = "--xla_cpu_enable_fast_math=false"
	for _, c := range []struct {
		threads int
		before  map[string]string // of set variables
		during  map[string]string
	}{
		{3, map[string]string{"NPROC": "7", "XLA_FLAGS": own}, map[string]string{"NPROC": "3", "XLA_FLAGS": reorderSums + " " + own}},
		{0, map[string]string{"NPROC": "7"}, map[string]string{"NPROC": "7", "XLA_FLAGS": reorderSums}},
		{2, nil, map[string]string{"NPROC": "2", "XLA_FLAGS": reorderSums}},
	} {
		for _, name := range []string{"NPROC", "XLA_FLAGS"} {
			t.Setenv(name, c.before[name]) // the test's end restores the value
			if _, had := c.before[name]; !had {
				_ = os.Unsetenv(name)
			}
		}
		restore := setEnvironment(c.threads)
		for name, want := range c.during {
			if got := os.Getenv(name); got != want {
				t.Errorf("setEnvironment(%d): %s = %q during the creation of the client, want %q", c.threads, name, got, want)
			}
		}
		restore()
		for _, name := range []string{"NPROC", "XLA_FLAGS"} {
			got, has := os.LookupEnv(name)
			if want, had := c.before[name]; got != want || has != had {
				t.Errorf("setEnvironment(%d): %s = %q (set: %t) after, want %q (set: %t)", c.threads, name, got, has, want, had)
			}
		}
	}
}

func TestThreads(t *testing.T) {
	t.Setenv("NPROC", "7")
	if got := (Options{}).threads(); got != 0 {
		t.Errorf("with NPROC threads = %d, want 0", got)
	}
	if got := (Options{Threads: 3}).threads(); got != 3 {
		t.Errorf("threads = %d, want the options' 3", got)
	}
	t.Setenv("NPROC", "")
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	want := 0
	if runtime.NumCPU() > 1 {
		want = 1
	}
	if got := (Options{}).threads(); got != want {
		t.Errorf("with GOMAXPROCS=1 on %d cores threads = %d, want %d", runtime.NumCPU(), got, want)
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
