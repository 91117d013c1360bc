package xla

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"prunellm/internal/trust"
)

// TestPluginOfAnotherUser covers plugins that this process must not load, because their owner could run any code in it.
func TestPluginOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can create files of other users")
	}
	for name, spoil := range map[string]func(home, plugin string) error{
		"plugin":          func(_, plugin string) error { return os.Chown(plugin, 65534, 65534) },
		"folder":          func(home, _ string) error { return os.Chown(home, 65534, 65534) },
		"writable plugin": func(_, plugin string) error { return os.Chmod(plugin, 0o666) },
	} {
		for _, device := range []Device{Auto, CPU, CUDA} {
			t.Run(name+" "+string(device), func(t *testing.T) {
				home := t.TempDir()
				file := "pjrt_c_api_cpu_plugin.so"
				if device == CUDA {
					file = "pjrt_c_api_cuda_plugin.so"
				}
				plugin := filepath.Join(home, "pjrt", file)
				if err := errors.Join(os.Mkdir(filepath.Dir(plugin), 0o755), os.WriteFile(plugin, []byte("code"), 0o755), spoil(home, plugin)); err != nil {
					t.Fatal(err)
				}
				for _, opts := range []Options{{Home: home, Device: device}, {PluginPath: filepath.Dir(plugin), Device: device}} {
					var fault *trust.Error
					if _, err := Open(slog.New(slog.DiscardHandler), opts); !errors.As(err, &fault) || !strings.HasPrefix(fault.Path, home) {
						t.Errorf("Open(%+v) = %v, want an error about %q", opts, err, home)
					}
				}
			})
		}
	}
}

// TestStartWithoutHome runs a process that imports this package and does not use it.
func TestStartWithoutHome(t *testing.T) {
	command := exec.Command(os.Args[0], "-test.list=^$")
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "HOME" || name == "XDG_CACHE_HOME" || name == "PJRT_PLUGIN_LIBRARY_PATH"
	})
	var stderr strings.Builder
	command.Stderr = &stderr
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error: %s", stderr.String())
	}
}
