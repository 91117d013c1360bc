package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/flags"
	"prunellm/internal/jobs"
	"prunellm/internal/tinymodel"
	"prunellm/internal/trust"
	"prunellm/internal/workshop"
)

// withoutHome leaves the process without a known home folder, like a service that starts without a login.
func withoutHome(t *testing.T) {
	t.Helper()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "PRUNELLM_HOME", "PRUNELLM_CACHE_DIR"} {
		t.Setenv(name, "")
	}
	t.Chdir(t.TempDir())
}

func TestWithoutHome(t *testing.T) {
	withoutHome(t)
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"version": {"--version"}, "version command": {"version"}, "inspect": {"inspect", model}, "help": {"serve", "--help"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, nil, &stdout, &stderr); status != 0 || stderr.Len() > 0 || stdout.Len() == 0 {
			t.Errorf("%s: status %d, %q and %q", name, status, stdout.String(), stderr.String())
		}
	}
	for name, args := range map[string][]string{
		"default model": {"prune", "--ratio", "0.1", "-o", "x.gguf"}, "cache": {"prune", "--ratio", "0.1", "--model", model, "-o", "x.gguf"},
		"server": {"serve", "--addr", "127.0.0.1:0"}, "folder": {"inspect", t.TempDir()},
		"plugin": {"score", "--model", model, "--tokens", tokenFile(t), "-o", "x.safetensors"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), args, nil, &stdout, &stderr)
		if text := stderr.String(); status != 1 || !strings.Contains(text, "--home or PRUNELLM_HOME") {
			t.Errorf("%s: status %d, %q, want 1 and the flag's name", name, status, text)
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil || len(entries) > 0 {
		t.Errorf("the current folder holds %v, %v, want nothing", entries, err)
	}
}

func tokenFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.json")
	if err := os.WriteFile(path, []byte(`{"tokens":[[1,2,3,4]]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// --home alone determines all folders, including the cache.
func TestHomeAlone(t *testing.T) {
	withoutHome(t)
	var cli commandLine
	parser, err := newParser(&cli, defaultHome(os.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	command, _, err := flags.ParseArgs(parser, []string{"--home", "/a", "prune", "--ratio", "0.1", "-o", "x.gguf"})
	if err != nil {
		t.Fatal(err)
	}
	if putCacheInHome(command, cli.Home); cli.Prune.CacheDir != "/a/cache" {
		t.Errorf("--cache-dir is %q, want /a/cache", cli.Prune.CacheDir)
	}
}

// Commands refuse config files, keys, CA files and exchange folders that another user owns or can write.
func TestFilesOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of other users")
	}
	file := func(t *testing.T, uid int, mode fs.FileMode) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := errors.Join(os.WriteFile(path, []byte("log-level: info\n"), 0o600), os.Chmod(path, mode), os.Chown(path, uid, uid)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	log := slog.New(slog.DiscardHandler)
	for name, read := range map[string]func(path string) error{
		"config": func(path string) error { _, err := flags.Read(path); return err },
		"keys":   func(path string) error { _, err := (&frontFlags{APIKeyFile: path}).openSecrets(log); return err },
		"redis ca": func(path string) error {
			env := &environment{ctx: t.Context(), stderr: io.Discard, log: log}
			shop, err := openWorkshop(env, openModel(t, modelWithTemplate(t, "")), cacheFlags{CacheDir: t.TempDir(), RedisCA: path}, workshop.Serving{})
			if err == nil {
				shop.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var fault *trust.Error
			for _, path := range []string{file(t, 65534, 0o600), file(t, 0, 0o666)} {
				if err := read(path); !errors.As(err, &fault) || fault.Path != path {
					t.Errorf("error = %v, want one about %q", err, path)
				}
			}
			if err := read(file(t, 0, 0o600)); errors.As(err, &fault) {
				t.Errorf("own file: %v", err)
			}
		})
	}
	t.Run("exchange folders", func(t *testing.T) {
		scratch := t.TempDir()
		if err := os.Chown(scratch, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		var fault *trust.Error
		if _, _, err := jobs.NewExchange(scratch); !errors.As(err, &fault) {
			t.Errorf("NewExchange = %v, want an error about %q", err, scratch)
		}
	})
}

func TestWarnings(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of other users")
	}
	folder := t.TempDir()
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil { // the testing package creates it with mode 0700
		t.Fatal(err)
	}
	path := filepath.Join(folder, "keys")
	if err := os.WriteFile(path, []byte("key\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	if _, err := (&frontFlags{APIKeyFile: path}).openSecrets(log); err != nil || !strings.Contains(logged.String(), "other users can read a secret") {
		t.Errorf("keys that others can read: %v, log %q", err, logged.String())
	}
	logged.Reset()
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"prune", "--ratio", "0.1", "-o", "x.gguf", "--model", path}, "--model"},
		{[]string{"prune", "--ratio", "0.1", "-o", "x.gguf", "--calibration", path}, "--calibration"},
		{[]string{"prune", "--ratio", "0.1", "-o", "x.gguf"}, ""},
	} {
		logged.Reset()
		var cli commandLine
		parser, err := newParser(&cli, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		command, _, err := flags.ParseArgs(parser, c.args)
		if err != nil {
			t.Fatal(err)
		}
		if flags.WarnOfShared(command, sharedInputs, log); c.want != "" && !strings.Contains(logged.String(), c.want) || c.want == "" && logged.Len() > 0 {
			t.Errorf("%q: log %q, want %q in it", c.args, logged.String(), c.want)
		}
	}
}
