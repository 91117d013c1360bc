package xla

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/go-xla/pkg/pjrt"
	"github.com/gomlx/gomlx/backends"
	gomlxxla "github.com/gomlx/gomlx/backends/xla"
)

// cudaBackend is XLA on a GPU. It reports the GPU's memory to llama.BudgetOf.
type cudaBackend struct {
	*gomlxxla.Backend
	free int64
}

// FreeMemory returns the bytes that were free on the GPU when the backend was opened.
func (b *cudaBackend) FreeMemory() int64 { return b.free }

var _ backends.Backend = (*cudaBackend)(nil)

// memoryFraction is the share of a GPU's memory that XLA may allocate on demand. By default XLA would reserve three quarters at
// the start, which would leave too little memory for a server on the same card.
const memoryFraction = 0.9

// openCUDA opens the first GPU that CUDA shows. As in JAX, float32 matmuls use the tensor cores by default, which read 10 of the
// 23 bits of a mantissa (TF32). NVIDIA_TF32_OVERRIDE=0 turns that off.
func openCUDA(log *slog.Logger, opts Options, path string) (backends.Backend, error) {
	if reason := opts.GPU.TooOld(); reason != "" {
		return nil, fmt.Errorf("open pjrt plugin %q: %s", path, reason)
	}
	defer setVariable("XLA_FLAGS", func(own string) string { return cudaFlags(path, own) })()
	// Otherwise go-xla would search for CUDA itself, and set a folder of its author's machine.
	defer setVariable("GOPJRT_CUDA_CHECKS", func(string) string { return "0" })()
	backend, err := gomlxxla.NewWithOptions(path, pjrt.NamedValuesMap{
		"preallocate": false, "memory_fraction": float32(memoryFraction), "visible_devices": []int64{0},
	})
	if err != nil {
		return nil, fmt.Errorf("open pjrt plugin %q on %s: %w", path, opts.GPU.Name, err)
	}
	log.Debug("xla backend open", "path", path, "device", opts.GPU.Name, "free_mib", opts.GPU.Free>>20)
	return &cudaBackend{Backend: backend, free: int64(float64(opts.GPU.Free) * memoryFraction)}, nil
}

// cudaFlags returns XLA's flags for a GPU. The user's flags come last and override them. XLA needs a flag with the folder of
// CUDA's compiler, because otherwise it searches where XLA was built. The folder is next to the plugin, as in wheels, or CUDA's
// installation.
func cudaFlags(plugin, own string) string {
	// Use only cuBLAS for matmuls. Choosing among Triton's kernels for each matmul more than doubled the time to score a small
	// model, without a gain: 18.4 s instead of 7.5 s for 24,576 tokens on an H100.
	flags := []string{"--xla_gpu_enable_triton_gemm=false"}
	if !strings.Contains(own, "--xla_gpu_cuda_data_dir") {
		for _, folder := range []string{filepath.Join(sitePackages(plugin), "nvidia", "cu13"), "/usr/local/cuda"} {
			if info, err := os.Stat(filepath.Join(folder, "nvvm", "libdevice")); err == nil && info.IsDir() {
				flags = append(flags, "--xla_gpu_cuda_data_dir="+folder)
				break
			}
		}
	}
	return strings.TrimSpace(strings.Join(append(flags, own), " "))
}

// sitePackages returns the folder of the wheels from which a plugin such as jax_plugins/xla_cuda13/xla_cuda_plugin.so was
// installed.
func sitePackages(plugin string) string { return filepath.Dir(filepath.Dir(filepath.Dir(plugin))) }
