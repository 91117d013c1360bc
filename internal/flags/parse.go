package flags

import (
	"os"

	"github.com/alecthomas/kong"
)

// Exited is the status with which the parser ended the process: it has shown help or a version.
type Exited int

// Exit has the parser panic with the status that it would end the process with; ParseArgs recovers it.
func Exit() kong.Option { return kong.Exit(func(status int) { panic(Exited(status)) }) }

// ParseArgs reads the command line, with the variables and the file that stand in for flags. exited is the status with which
// the process shall end at once, nil to go on.
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

// unsetEmpty removes the empty variables of flags, which Compose sets for ${NAME:-}.
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

// WithDefault adds a flag's default to its help where the placeholder hides it.
func WithDefault(value *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(value)
	if value.HasDefault && value.Default != "" && value.Tag.PlaceHolder != "" {
		help += " (default " + value.Default + ")"
	}
	return help
}
