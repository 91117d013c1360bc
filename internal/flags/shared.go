package flags

import (
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"prunellm/internal/trust"
)

// WarnOfShared logs which of a command's inputs other users can change. Such a file is allowed: a team may share a folder of
// models. inputs maps flags to values that are not paths: whole values, and prefixes that end in a colon.
func WarnOfShared(command *kong.Context, inputs map[string][]string, log *slog.Logger) {
	for _, flag := range command.Flags() {
		names, ok := inputs[flag.Name]
		path, isText := flag.Target.Interface().(string)
		if !ok || !isText || path == "" || isName(path, names) {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			continue // opening it returns the error
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
