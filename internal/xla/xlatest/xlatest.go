// Package xlatest selects the device on which tests compute gradients: the processor, or PRUNELLM_TEST_DEVICE.
package xlatest

import (
	"cmp"

	"prunellm/internal/xla"
)

// Options returns the options for the processor's plugin, which setup fetched. With PRUNELLM_TEST_DEVICE=cuda it returns those for
// a GPU's plugin, which PJRT_PLUGIN_LIBRARY_PATH locates if it is not in the folder of make cuda. getenv is os.Getenv.
func Options(getenv func(string) string) xla.Options {
	return xla.Options{
		Home: getenv("PRUNELLM_HOME"), PluginPath: getenv("PJRT_PLUGIN_LIBRARY_PATH"),
		Device: xla.Device(cmp.Or(getenv("PRUNELLM_TEST_DEVICE"), string(xla.CPU))),
	}
}
