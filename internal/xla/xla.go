// Package xla opens the gomlx backend that computes gradients: XLA through a PJRT plugin if it finds one, otherwise gomlx's
// pure-Go backend.
//
// It is the only package that knows the folders of plugins. models/llama and prune have the computations, which work on any gomlx
// backend.
//
// # Environment
//
// Open loads the plugin by its absolute path. It therefore ignores the variables with which gomlx and go-xla search for one
// (PJRT_PLUGIN_LIBRARY_PATH, GOMLX_BACKEND, GOMLX_NO_AUTO_INSTALL), and gomlx's installer never runs.
//
// Two settings exist only in the environment: XLA's CPU client reads the size of its thread pool from NPROC and compiler flags
// from XLA_FLAGS. Open sets both while it creates the client, then restores them. Call it at the start of a process, before other
// goroutines read the environment.
//
// # Memory
//
// Opening the CPU plugin makes glibc keep large freed blocks (see keepLargeBlocks). The process's memory then stays near its peak
// until the process ends, so compute scores in a child process.
//
// # Concurrency
//
// A backend may be used from several goroutines. XLA runs one computation at a time on all its threads.
//
// # Errors
//
// A plugin that exists but cannot be used, or that another user can change, is an error that names its file. Without
// any plugin Open logs a warning and returns the pure-Go backend.
package xla

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	gomlxxla "github.com/gomlx/gomlx/backends/xla"
	"golang.org/x/sys/cpu"

	"prunellm/internal/machine"
	"prunellm/internal/nvidia"
	"prunellm/internal/trust"
	_ "prunellm/internal/xla/noplugins"
)

// Device is the kind of processor that computes.
type Device string

// The devices of Open. Auto selects CUDA if it finds its plugin and a GPU, else XLA on the CPU, else Go.
const (
	Auto Device = "auto"
	CPU  Device = "cpu"
	CUDA Device = "cuda"
	Go   Device = "go" // gomlx's pure-Go backend: no plugin, about 100 times slower
)

// Options names the plugin folders and the device to open. A field's zero value selects its default.
type Options struct {
	// Home is the folder that setup fills. Plugins are in its subfolder pjrt, the CUDA plugin in the folder of make cuda.
	Home string
	// GPU is the first card that CUDA shows, or the zero value if it is unknown.
	GPU nvidia.GPU
	// PluginPath has folders to search before Home, separated by colons as in PJRT_PLUGIN_LIBRARY_PATH.
	PluginPath string
	// Device is the device to open; "" is Auto.
	Device Device
	// Threads bounds XLA's CPU threads; 0 is NPROC, or else one per core that this process may use.
	Threads int
}

// threads returns the number of threads to set, or 0 to set none. XLA itself considers NPROC and the affinity mask, but neither
// CPU quotas nor GOMAXPROCS.
func (o Options) threads() int {
	if o.Threads > 0 {
		return o.Threads
	}
	own, _ := os.LookupEnv("NPROC")
	if cores := machine.Cores(); cores < runtime.NumCPU() && own == "" {
		return cores
	}
	return 0
}

// pluginFolder returns the folder in which setup installs the plugin, or a phrase for a message if there is no home folder.
func (o Options) pluginFolder() string {
	if o.Home == "" {
		return "a home folder, and none is known"
	}
	return filepath.Join(o.Home, "pjrt")
}

// ErrNoPlugin is wrapped if Options name a device whose plugin is missing.
var ErrNoPlugin = errors.New("no pjrt plugin")

// Open returns the backend that Options select. The caller closes it with Finalize.
func Open(log *slog.Logger, opts Options) (backends.Backend, error) {
	if opts.Threads < 0 {
		return nil, fmt.Errorf("open xla: threads is %d but must not be negative", opts.Threads)
	}
	switch opts.Device {
	case "", Auto:
		return openAuto(log, opts)
	case CPU, CUDA:
		return openDevice(log, opts, opts.Device)
	case Go:
		return openGo()
	}
	return nil, fmt.Errorf("open xla: device %q is not one of auto, cpu, cuda, go", opts.Device)
}

// openAuto tries the devices from fast to slow. If the CUDA plugin does not start, it logs a warning and uses the CPU.
func openAuto(log *slog.Logger, opts Options) (backends.Backend, error) {
	if opts.GPU.Name != "" {
		backend, err := openDevice(log, opts, CUDA)
		if err == nil {
			return backend, nil
		}
		if errors.Is(err, ErrNoPlugin) {
			log.Info("no cuda plugin of xla found, computing scores on the cpu (make cuda fetches it)", "gpu", opts.GPU.Name)
		} else {
			log.Warn("cuda plugin unusable, computing scores on the cpu", "error", err)
		}
	}
	backend, err := openDevice(log, opts, CPU)
	if errors.Is(err, ErrNoPlugin) {
		log.Warn("no xla plugin found, computing in pure go: expect it to be 100 times slower (make setup fetches the plugin)",
			"path", opts.pluginFolder())
		return openGo()
	}
	return backend, err
}

// openGo opens the pure-Go backend. Its default setting would hang on machines with few cores, because parallel operations wait
// for workers that the others hold.
func openGo() (backends.Backend, error) { return simplego.New("ops_sequential") }

// openDevice opens the plugin of one device.
func openDevice(log *slog.Logger, opts Options, device Device) (backends.Backend, error) {
	path := findPlugin(opts, device)
	if path == "" {
		return nil, fmt.Errorf("open xla:%s: %w in %s (make setup fetches it)", device, ErrNoPlugin,
			opts.pluginFolder())
	}
	if strings.ContainsRune(path, ',') {
		return nil, fmt.Errorf("open pjrt plugin %q: gomlx cannot open a path with a comma; move the plugin", path)
	}
	if err := checkPlugin(path, device); err != nil {
		return nil, fmt.Errorf("open pjrt plugin: %w", err)
	}
	gomlxxla.EnableAutoInstall(false)
	if device == CUDA {
		return openCUDA(log, opts, path)
	}
	defer setEnvironment(opts.threads())()
	keepLargeBlocks()
	backend, err := gomlxxla.New(path + ",shared_buffers") // gomlx sets this for a plugin named "cpu", but not for a path
	if err != nil {
		return nil, fmt.Errorf("open pjrt plugin %q: %w", path, err)
	}
	log.Debug("xla backend open", "path", path, "device", string(device), "fast_bfloat16", cpu.X86.HasAVX512BF16)
	return onCPU(backend), nil
}

// cpuBackend is XLA on the CPU.
type cpuBackend struct{ *gomlxxla.Backend }

// FastBFloat16 reports whether matmuls of bfloat16 are faster than those of float32. On processors without the
// instructions XLA computes them in float32, with conversions.
func (cpuBackend) FastBFloat16() bool { return cpu.X86.HasAVX512BF16 }

var _ backends.Backend = cpuBackend{}

func onCPU(backend backends.Backend) backends.Backend {
	if own, ok := backend.(*gomlxxla.Backend); ok {
		return cpuBackend{own}
	}
	return backend
}

// checkPlugin returns an error if other users can change the code of a plugin: its file and, in wheels, CUDA's libraries next to
// its folder.
func checkPlugin(path string, device Device) error {
	if _, err := trust.Resolve(path); err != nil {
		return err
	}
	if device != CUDA {
		return nil
	}
	_, err := trust.Tree(filepath.Join(sitePackages(path), "nvidia"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// findPlugin returns the absolute path of the first plugin of a device, or "".
func findPlugin(opts Options, device Device) string {
	folders := strings.Split(opts.PluginPath, ":")
	if opts.Home != "" {
		folders = append(folders, filepath.Join(opts.Home, "pjrt"), filepath.Join(opts.Home, "cuda-toolkit", "jax_plugins", "xla_cuda13"))
	}
	for _, folder := range folders {
		if folder == "" {
			continue
		}
		// JAX's wheels use the last pattern.
		for _, pattern := range []string{"pjrt_c_api_%s_plugin.so", "pjrt-plugin-%s.so", "pjrt_plugin_%s.so", "xla_%s_plugin.so"} {
			path, err := filepath.Abs(filepath.Join(folder, fmt.Sprintf(pattern, device)))
			if err != nil {
				continue
			}
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path
			}
		}
	}
	return ""
}

// reorderSums lets XLA's CPU compiler reorder additions, so that it can vectorize sums. NaN and infinity keep their meaning
// (xla_cpu_fast_math_honor_*), and a program gives the same bits each time.
const reorderSums = "--xla_cpu_enable_fast_math=true"

// setEnvironment sets the variables that XLA's CPU client reads at its creation: the number of threads (0 does not change it) and
// compiler flags. The user's flags come last and override ours. It returns a function that restores the environment.
func setEnvironment(threads int) (restore func()) {
	flags := setVariable("XLA_FLAGS", func(own string) string { return strings.TrimSpace(reorderSums + " " + own) })
	if threads == 0 {
		return flags
	}
	count := setVariable("NPROC", func(string) string { return strconv.Itoa(threads) })
	return func() { count(); flags() }
}

// setVariable changes an environment variable and returns a function that restores it. change receives "" if it is unset.
func setVariable(name string, change func(before string) string) (restore func()) {
	before, had := os.LookupEnv(name)
	if err := os.Setenv(name, change(before)); err != nil {
		return func() {}
	}
	return func() {
		if had {
			_ = os.Setenv(name, before)
		} else {
			_ = os.Unsetenv(name)
		}
	}
}
