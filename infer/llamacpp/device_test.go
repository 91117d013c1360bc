package llamacpp

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/tinymodel"
)

// layered returns a model of ten layers of 100 MiB with a head of 50 MiB.
func layered() (shape, Options) {
	s := shape{fileBytes: 1100 << 20, hidden: 64, widest: 128, vocab: 1000, outputs: 50 << 20}
	for range 10 {
		s.layers = append(s.layers, layerShape{bytes: 100 << 20, kvWidth: 1024})
		s.kvWidth += 1024
	}
	return s, Options{ContextSize: 1024, Sequences: 4, BatchSize: 32}
}

func TestFittingLayers(t *testing.T) {
	s, opts := layered()
	const layer = 100<<20 + 4*1024*1024*2 // weights and cache
	compute := s.deviceCompute(opts)
	devices := func(free ...int64) (all []Device) {
		for _, f := range free {
			all = append(all, Device{Name: "CUDA0", Free: f})
		}
		return all
	}
	for name, c := range map[string]struct {
		devices []Device
		asked   int
		want    int
	}{
		"no gpu":                {nil, -1, 0},
		"room for all":          {devices(80 << 30), -1, 11},
		"no more than asked":    {devices(80 << 30), 4, 4},
		"more than there are":   {devices(80 << 30), 99, 11},
		"three":                 {devices(deviceReserve + compute + 3*layer), -1, 3},
		"a byte short of three": {devices(deviceReserve + compute + 3*layer - 1), -1, 2},
		"all but the head":      {devices(deviceReserve + compute + 10*layer), -1, 10},
		"two cards":             {devices(deviceReserve+compute+5*layer, deviceReserve+compute+6*layer), -1, 11},
		"full":                  {devices(1 << 20), -1, 0},
	} {
		if got := s.fittingLayers(opts, c.devices, s.wantedLayers(c.asked)); got != c.want {
			t.Errorf("%s: %d layers, want %d", name, got, c.want)
		}
	}
}

func TestBatchOnDevice(t *testing.T) {
	s, opts := layered()
	opts.Threads, opts.BatchSize = 8, defaultBatch
	large := opts
	large.BatchSize = gpuBatch
	weights, cache := s.onDevice(opts, 11)
	enough := deviceReserve + weights + cache + s.deviceCompute(large)
	for name, c := range map[string]struct {
		free     int64
		anyBatch bool
		want     int
	}{
		"enough":       {enough, true, gpuBatch},
		"a byte short": {enough - 1, true, defaultBatch},
		"as asked":     {enough, false, defaultBatch},
	} {
		got := s.allOnDevice(opts, c.anyBatch, []Device{{Free: c.free}})
		if got.BatchSize != c.want || got.Threads != 1 || got.BatchThreads != 1 {
			t.Errorf("%s: batches of %d, %d threads, want %d and 1", name, got.BatchSize, got.Threads, c.want)
		}
	}
}

// Layers on a GPU do not count against the machine's memory.
func TestCheckMemoryWithGPU(t *testing.T) {
	s, opts := layered()
	need := memoryNeed(s, opts)
	const room = 200 << 20
	available := func() int64 { return need.Compute + room }
	if err := checkMemory(s, opts, available); err == nil {
		t.Error("the whole model fits 200 MiB")
	}
	opts.GPULayers = 11
	if err := checkMemory(s, opts, available); err != nil {
		t.Errorf("with all layers on a gpu: %v", err)
	}
	// The file is 1100 MiB, its layers 1000, its head 50: an embedding that is also the head stays on the CPU too.
	tight := func() int64 { return need.Compute + 60<<20 }
	if err := checkMemory(s, opts, tight); err != nil {
		t.Errorf("with a head of its own: %v", err)
	}
	s.tied = true
	if err := checkMemory(s, opts, tight); err == nil {
		t.Error("a tied embedding takes no memory")
	}
}

func TestShapeOfLayers(t *testing.T) {
	s, err := readShape(tiny(t, tinymodel.Options{Layers: 3}))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.layers) != 3 || s.layers[0].bytes == 0 || s.layers[2].kvWidth*3 != s.kvWidth || s.outputs == 0 {
		t.Errorf("shape of three layers: %+v", s)
	}
	var inside int64
	for _, l := range s.layers {
		inside += l.bytes
	}
	if inside+s.outputs > s.fileBytes {
		t.Errorf("layers of %d and a head of %d bytes in a file of %d", inside, s.outputs, s.fileBytes)
	}
}

func TestWarningOfFewLayers(t *testing.T) {
	var log bytes.Buffer
	warnOfFewLayers(slog.New(slog.NewTextHandler(&log, nil)), "m.gguf", 3, 11, []Device{{Name: "CUDA0", Free: 7 << 20}, {Name: "CUDA1"}})
	for _, want := range []string{"gpu_layers=3", "wanted=11", "free_mib=7", "CUDA0, CUDA1", "--ctx"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q lacks %q", log.String(), want)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want one", n)
	}
}

func TestLibraryFolders(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"cuda_v12", "cuda_v13", "rocm"} {
		if err := os.MkdirAll(filepath.Join(home, "lib", "ollama", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	before := libraryHome
	defer SetLibraryHome(before)
	SetLibraryHome(home)
	t.Setenv(libraryVariable, "/x:/y")
	if got := libraryFolders(); len(got) != 2 || got[1] != "/y" {
		t.Errorf("with %s set: %q", libraryVariable, got)
	}
	os.Unsetenv(libraryVariable) // t.Setenv restores it
	paths := libraryFolders()
	if len(paths) != 3 || filepath.Base(paths[1]) != "cuda_v13" || filepath.Base(paths[2]) != "cuda_v12" {
		t.Errorf("folders %q, want the binary's, cuda_v13, cuda_v12", paths)
	}
}
