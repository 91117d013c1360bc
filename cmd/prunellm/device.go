package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/backends"

	"prunellm/infer/llamacpp"
	"prunellm/internal/machine"
	"prunellm/internal/nvidia"
	"prunellm/internal/xla"
)

// visibleVariable says which GPUs CUDA shows, to this process and to those that it starts.
const visibleVariable = "CUDA_VISIBLE_DEVICES"

// visibleDevices is the value of CUDA_VISIBLE_DEVICES that --device asks for. before is its value so far, in whose terms CUDA0 is the
// first; set tells whether there is one.
func visibleDevices(device, before string, set bool) (value string, err error) {
	if device == "none" {
		return "", nil
	}
	shown := strings.Split(before, ",")
	var chosen []string
	for name := range strings.SplitSeq(device, ",") {
		number, ok := strings.CutPrefix(strings.ToUpper(strings.TrimSpace(name)), "CUDA")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || n > 1<<10 {
			return "", fmt.Errorf("--device is %q, want 'auto', 'none' or names that prunellm version --devices lists, as CUDA0,CUDA1", device)
		}
		if set && (n >= len(shown) || before == "") {
			return "", fmt.Errorf("--device is %q, but %s=%s shows %d", device, visibleVariable, before, len(slices.DeleteFunc(shown, func(s string) bool { return s == "" })))
		}
		if set {
			number = strings.TrimSpace(shown[n])
		}
		chosen = append(chosen, number)
	}
	return strings.Join(chosen, ","), nil
}

// useDevices applies --device to this process. It comes before anything looks for a GPU.
func useDevices(device, home string) error {
	llamacpp.SetLibraryHome(home)
	if device == "auto" {
		return nil
	}
	before, set := os.LookupEnv(visibleVariable)
	value, err := visibleDevices(device, before, set)
	if err != nil {
		return usageError{err}
	}
	return os.Setenv(visibleVariable, value)
}

// visibleGPUs asks the driver for the GPUs that CUDA shows this process.
func visibleGPUs(ctx context.Context) ([]nvidia.GPU, error) {
	value, set := os.LookupEnv(visibleVariable)
	return nvidia.Visible(ctx, value, set)
}

// warnOfIdleGPU says why a GPU that is there is not used, if one is.
func warnOfIdleGPU(ctx context.Context, log *slog.Logger) {
	gpus, err := visibleGPUs(ctx)
	switch {
	case err != nil:
		log.Warn("the driver does not answer, serving on the processor", "error", err)
	case len(gpus) == 0 || len(llamacpp.Devices()) > 0: // no GPU, or one that is full: that was said
	default:
		log.Warn("a gpu is not used", "reason", idleReason(gpus[0]))
	}
}

// idleReason is why llama.cpp does not see a GPU that the driver sees.
func idleReason(gpu nvidia.GPU) string {
	if reason := gpu.TooOld(); reason != "" {
		return reason
	}
	return "no backend for " + gpu.Name + " was found or it does not start" + llamacpp.WhyNotStarted() + ": make cuda builds it"
}

// pluginVariable names folders of XLA's plugins, which come before the home folder's.
const pluginVariable = "PJRT_PLUGIN_LIBRARY_PATH"

// openXLA opens what gradients are computed on.
func openXLA(ctx context.Context, home string, log *slog.Logger) (backends.Backend, error) {
	if home == "" && os.Getenv(pluginVariable) == "" {
		return nil, fmt.Errorf("find the xla plugin: %w", errNoHome)
	}
	gpus, err := visibleGPUs(ctx)
	if err != nil {
		log.Warn("cannot ask the driver for gpus, computing scores on the cpu", "error", err)
	}
	return openXLAOn(gpus, home, log)
}

// openXLAOn is openXLA where the GPUs are known.
func openXLAOn(gpus []nvidia.GPU, home string, log *slog.Logger) (backends.Backend, error) {
	options := xla.Options{Home: home, PluginPath: os.Getenv(pluginVariable)}
	if cores := machine.Cores(); cores < runtime.NumCPU() && os.Getenv("NPROC") == "" {
		options.Threads = cores // XLA sees neither quotas nor GOMAXPROCS
	}
	if len(gpus) > 0 {
		options.GPU = gpus[0]
	}
	return xla.Open(log, options)
}
