package flags

import (
	"os"

	"github.com/alecthomas/kong"
)

// Exited is the exit status of the parser after it has shown help or a version.
type Exited int

// Exit makes the parser panic with its exit status. ParseArgs recovers it.
func Exit() kong.Option { return kong.Exit(func(status int) { panic(Exited(status)) }) }

// ParseArgs parses the command line, together with the variables and the file that set flags. If exited is not nil, the process
// must exit at once with that status.
func ParseArgs(parser *kong.Kong, args []string) (command *kong.Context, exited *Exited, err error) {
	unsetEmpty(parser.Model.Node)
	defer func() {
		if p := recover(); p != nil {
			status, ok := p.(Exited)
			if !ok {
				panic(p)
			}
			exited = &status
		}
	}()
	command, err = parser.Parse(args)
	return command, nil, err
}

// unsetEmpty unsets empty variables of flags, which Compose sets for ${NAME:-}.
func unsetEmpty(node *kong.Node) {
	for _, flag := range node.Flags {
		for _, name := range flag.Envs {
			if os.Getenv(name) == "" {
				_ = os.Unsetenv(name) // a name that cannot be unset is not set
			}
		}
	}
	for _, child := range node.Children {
		unsetEmpty(child)
	}
}

// WithDefault returns a flag's help. It adds the default if the placeholder hides it.
func WithDefault(value *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(value)
	if value.HasDefault && value.Default != "" && value.Tag.PlaceHolder != "" {
		help += " (default " + value.Default + ")"
	}
	return help
}
