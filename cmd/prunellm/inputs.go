package main

import (
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"prunellm/internal/calibration"
	"prunellm/internal/trust"
	"prunellm/models"
	"prunellm/models/hub"
)

// sharedInputs are the flags that name what is computed with. A user may well choose a file that others can change, as in a
// folder of a team's models, and is told so.
var sharedInputs = map[string][]string{ // and the values that name no file
	"model":       {models.DefaultRef, hub.Prefix},
	"calibration": {calibration.SelfName},
}

// warnOfSharedInputs says which of a command's inputs other users can change.
func warnOfSharedInputs(command *kong.Context, log *slog.Logger) {
	for _, flag := range command.Flags() {
		names, ok := sharedInputs[flag.Name]
		path, isText := flag.Target.Interface().(string)
		if !ok || !isText || path == "" || isName(path, names) {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			continue // whoever opens it says so
		}
		check := trust.Resolve
		if info.IsDir() {
			check = trust.Tree
		}
		if _, err := check(path); err != nil {
			log.Warn("other users can change an input", "flag", "--"+flag.Name, "error", err)
		}
	}
}

func isName(value string, names []string) bool {
	for _, name := range names {
		if value == name || strings.HasSuffix(name, ":") && strings.HasPrefix(value, name) {
			return true
		}
	}
	return false
}
