package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"prunellm/infer/llamacpp"
)

// versionCommand shows the versions of this binary and its main dependencies.
type versionCommand struct {
	Devices bool `help:"List the GPUs, and the devices for serving and for scores."`
}

// namedDependencies are the modules that affect computed values and responses.
var namedDependencies = [...]string{
	"github.com/gofiber/fiber/v2", "github.com/ollama/ollama", "github.com/gomlx/gomlx", "github.com/gomlx/go-xla",
	"github.com/redis/go-redis/v9", "github.com/x448/float16",
}

// Run prints one line for the program and one per main dependency.
func (c *versionCommand) Run(env *environment) error {
	out := bufio.NewWriter(env.stdout) // keeps the first error
	fmt.Fprintf(out, "prunellm %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, dep := range info.Deps {
		for _, name := range namedDependencies {
			if strings.EqualFold(dep.Path, name) {
				fmt.Fprintf(out, "%s %s\n", dep.Path, dep.Version)
			}
		}
	}
	if c.Devices {
		if err := listDevices(env, out); err != nil {
			return errors.Join(out.Flush(), err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write version: %w", err)
	}
	return nil
}

// listDevices prints one line per GPU, and the devices that serve and score. A line says why serving uses no GPU.
func listDevices(env *environment, out io.Writer) error {
	gpus, err := visibleGPUs(env.ctx)
	if err != nil {
		return err
	}
	const mib = 1 << 20
	for _, gpu := range gpus {
		fmt.Fprintf(out, "gpu %d: %s, compute capability %s, driver %s, %d of %d MiB free\n",
			gpu.Index, gpu.Name, gpu.Capability, gpu.Driver, gpu.Free/mib, gpu.Total/mib)
	}
	devices := llamacpp.Devices()
	for _, d := range devices {
		fmt.Fprintf(out, "serving: %s (%s, %d of %d MiB free)\n", d.Name, d.Description, d.Free/mib, d.Total/mib)
	}
	if len(devices) == 0 {
		reason := "no gpu"
		if len(gpus) > 0 {
			reason = gpus[0].WhyIdle(llamacpp.WhyNotStarted())
		}
		fmt.Fprintf(out, "serving: processor (%s)\n", reason)
	}
	backend, err := openXLAOn(gpus, env.home, env.log)
	if err != nil {
		return err
	}
	defer backend.Finalize()
	fmt.Fprintf(out, "scores: %s\n", backend.Description())
	return nil
}
