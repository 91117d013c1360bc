// Package xlatest says what tests compute gradients on: the processor, or what PRUNELLM_TEST_DEVICE names.
package xlatest

import (
	"cmp"

	"prunellm/internal/xla"
)

// Options opens the plugin that setup fetched for the processor. PRUNELLM_TEST_DEVICE=cuda opens that of a GPU, which
// PJRT_PLUGIN_LIBRARY_PATH finds where make cuda did not put it. getenv is os.Getenv.
func Options(getenv func(string) string) xla.Options {
	return xla.Options{
		Home: getenv("PRUNELLM_HOME"), PluginPath: getenv("PJRT_PLUGIN_LIBRARY_PATH"),
		Device: xla.Device(cmp.Or(getenv("PRUNELLM_TEST_DEVICE"), string(xla.CPU))),
	}
}
