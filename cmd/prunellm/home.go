package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"
)

// errNoHome reports that a command needs a home folder and none is known. A default below the temporary folder would not be
// safe: other users can guess its name and create it first.
var errNoHome = errors.New("no home folder: neither HOME nor XDG_CACHE_HOME is set; set one with --home or PRUNELLM_HOME")

// defaultHome returns the folder of scripts/setup's downloads, or "" if the user has no home directory.
func defaultHome(getenv func(string) string) string {
	if cache := getenv("XDG_CACHE_HOME"); cache != "" {
		return filepath.Join(cache, "prunellm")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "prunellm")
}

// defaultCache returns the folder of computed values, or "" without a home folder.
func defaultCache(home string) string {
	if home == "" {
		return ""
	}
	return filepath.Join(home, "cache")
}

// putCacheInHome sets an empty --cache-dir to the cache in the folder of --home.
func putCacheInHome(command *kong.Context, home string) {
	for _, flag := range command.Flags() {
		if flag.Name == "cache-dir" && flag.Target.String() == "" {
			flag.Target.SetString(defaultCache(home))
		}
	}
}
