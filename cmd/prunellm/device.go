package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/gomlx/gomlx/backends"

	"prunellm/infer/llamacpp"
	"prunellm/internal/nvidia"
	"prunellm/internal/xla"
)

// useDevices applies --device to this process. It must run before any library looks for a GPU.
func useDevices(device, home string) error {
	llamacpp.SetLibraryHome(home)
	if device == "auto" {
		return nil
	}
	before, set := os.LookupEnv(nvidia.VisibleVariable)
	value, err := nvidia.Select(device, before, set)
	if err != nil {
		return usageError{fmt.Errorf("--device is %w", err)}
	}
	return os.Setenv(nvidia.VisibleVariable, value)
}

// visibleGPUs asks the driver for the GPUs that CUDA shows this process.
func visibleGPUs(ctx context.Context) ([]nvidia.GPU, error) {
	value, set := os.LookupEnv(nvidia.VisibleVariable)
	return nvidia.Visible(ctx, value, set)
}

// warnOfIdleGPU logs why llama.cpp uses no GPU, if the machine has one.
func warnOfIdleGPU(ctx context.Context, log *slog.Logger) {
	gpus, err := visibleGPUs(ctx)
	switch {
	case err != nil:
		log.Warn("cannot query the gpu driver: serving on the cpu", "error", err)
	case len(gpus) == 0 || len(llamacpp.Devices()) > 0: // no GPU, or one without free memory, which the engine logs
	default:
		log.Warn("gpu not used", "reason", gpus[0].WhyIdle(llamacpp.WhyNotStarted()))
	}
}

// pluginVariable lists folders of XLA plugins. They have priority over the home folder.
const pluginVariable = "PJRT_PLUGIN_LIBRARY_PATH"

// openXLA opens the backend for gradients: the first visible GPU, or the CPU.
func openXLA(ctx context.Context, home string, log *slog.Logger) (backends.Backend, error) {
	if home == "" && os.Getenv(pluginVariable) == "" {
		return nil, fmt.Errorf("find the xla plugin: %w", errNoHome)
	}
	gpus, err := visibleGPUs(ctx)
	if err != nil {
		log.Warn("cannot query the gpu driver: computing scores on the cpu", "error", err)
	}
	return openXLAOn(gpus, home, log)
}

// openXLAOn is openXLA with known GPUs.
func openXLAOn(gpus []nvidia.GPU, home string, log *slog.Logger) (backends.Backend, error) {
	options := xla.Options{Home: home, PluginPath: os.Getenv(pluginVariable)}
	if len(gpus) > 0 {
		options.GPU = gpus[0]
	}
	return xla.Open(log, options)
}
