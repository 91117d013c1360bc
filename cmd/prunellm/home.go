package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"
)

// errNoHome is the error of what needs a home folder where none is known. No other folder is safe to take: one in the
// temporary folder has a name that other users can guess, and fill before this one comes.
var errNoHome = errors.New("no home folder is known, neither HOME nor XDG_CACHE_HOME is set: name one by --home or PRUNELLM_HOME")

// defaultHome is where scripts/setup puts things; "" where it is not known.
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

// defaultCache is the folder of what is computed; "" without a home.
func defaultCache(home string) string {
	if home == "" {
		return ""
	}
	return filepath.Join(home, "cache")
}

// putCacheInHome gives --cache-dir its value where --home alone says where things are.
func putCacheInHome(command *kong.Context, home string) {
	for _, flag := range command.Flags() {
		if flag.Name == "cache-dir" && flag.Target.String() == "" {
			flag.Target.SetString(defaultCache(home))
		}
	}
}
