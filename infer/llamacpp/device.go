package llamacpp

import (
	"log/slog"
	"strings"

	"github.com/ollama/ollama/llama"
)

// Device is a GPU that llama.cpp can use: it has a backend and a driver that works.
type Device struct {
	Name        string // ggml's: "CUDA0"
	Description string // the card's: "NVIDIA H100 80GB HBM3"
	Total, Free int64  // bytes
}

// Devices lists the GPUs. The first call loads the backends, which takes a moment.
func Devices() []Device {
	initBackend()
	var devices []Device
	for _, gpu := range llama.EnumerateGPUs() {
		var d Device
		d.Name, d.Description, d.Free, d.Total = describeDevice(gpu.LlamaID)
		devices = append(devices, d)
	}
	return devices
}

func deviceNames(devices []Device) string {
	if len(devices) == 0 {
		return "none"
	}
	names := make([]string, len(devices))
	for i, d := range devices {
		names[i] = d.Name
	}
	return strings.Join(names, ", ")
}

// deviceReserve is the memory for CUDA, its libraries and ggml's pools on each GPU, in addition to the planned memory, in
// bytes. It is ample, because a pool without memory ends the process.
const deviceReserve = 1 << 30

// wantedLayers returns the number of layers that an option requests. The head counts as one.
func (s shape) wantedLayers(asked int) int {
	all := len(s.layers) + 1
	if asked < 0 {
		return all
	}
	return min(asked, all)
}

// fittingLayers returns how many layers, at most wanted, fit the devices together with their share of the context. llama.cpp
// puts the last layers on GPUs, and the head only if all layers are there.
func (s shape) fittingLayers(opts Options, devices []Device, wanted int) int {
	if len(devices) == 0 {
		return 0
	}
	free := int64(0)
	for _, d := range devices {
		free += max(d.Free-deviceReserve, 0)
	}
	compute := product(s.deviceCompute(opts), int64(len(devices)))
	for layers := wanted; layers > 0; layers-- {
		weights, cache := s.onDevice(opts, layers)
		if sum(weights, cache, compute) <= free {
			return layers
		}
	}
	return 0
}

// deviceCompute returns the working memory on each GPU, in bytes.
func (s shape) deviceCompute(opts Options) int64 {
	opts.BatchSize += opts.BatchSize / tailShare // room for fillers
	return memoryNeed(s, opts).Compute
}

// allOnDevice returns the options for a model with all its layers on GPUs. The processor then only looks up embeddings.
// Batches are larger unless the options set a size or a GPU lacks the memory.
func (s shape) allOnDevice(opts Options, anyBatch bool, devices []Device) Options {
	opts.Threads, opts.BatchThreads = 1, 1
	large, all := opts, s.wantedLayers(-1)
	large.BatchSize = max(opts.BatchSize, gpuBatch)
	if anyBatch && s.fittingLayers(large, devices, all) == all {
		return large
	}
	return opts
}

// onDevice returns the bytes of weights and KV cache for a number of layers on GPUs.
func (s shape) onDevice(opts Options, layers int) (weights, cache int64) {
	tokens := int64(pad(opts.ContextSize)) * int64(opts.Sequences)
	first := len(s.layers) - min(max(layers, 0), len(s.layers))
	for _, layer := range s.layers[first:] {
		weights = sum(weights, layer.bytes)
		cache = sum(cache, product(tokens, layer.kvWidth, f16))
	}
	if layers > len(s.layers) {
		weights = sum(weights, s.outputs)
	}
	return weights, cache
}

// warnOfFewLayers logs that a GPU lacks the memory for some layers.
func warnOfFewLayers(log *slog.Logger, path string, layers, wanted int, devices []Device) {
	if log == nil {
		return
	}
	free := int64(0)
	for _, d := range devices {
		free += d.Free
	}
	text := "a GPU lacks the memory for all layers, so the CPU computes the others; lower --ctx or --parallel, or free memory"
	if layers == 0 {
		text = "a GPU lacks the memory for any layer, so the CPU computes all; lower --ctx or --parallel, or free memory"
	}
	log.Warn(text, "file", path, "devices", deviceNames(devices), "gpu_layers", layers, "wanted", wanted, "free_mib", free>>20)
}
