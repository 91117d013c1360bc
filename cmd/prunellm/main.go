// Command prunellm serves pruned variants of a language model behind an OpenAI-compatible API and makes them itself.
//
// This package is wiring only: it reads flags, builds the parts and connects them, one file a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"prunellm/internal/flags"
	"prunellm/internal/jobs"
)

// version is set by the linker (see Makefile).
var version = "unknown"

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// environment is what a command may use of the process around it.
type environment struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger
	home   string
	flags  []string // of child processes of the same binary
}

// child is the command that starts a child process for a job.
func (e *environment) child() jobs.Command {
	return jobs.Command{Args: append([]string{"worker"}, e.flags...), Log: e.stderr}
}

// run executes one command and returns the exit status. Errors are one line on stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cli commandLine
	exited := -1
	parser, err := newParser(&cli, defaultHome(os.Getenv),
		kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { exited = status; panic(exit{}) }),
	)
	if err != nil {
		fmt.Fprintln(stderr, "prunellm:", err)
		return exitFailed
	}
	command, err := parse(parser, args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "prunellm: %s (prunellm --help lists the flags)\n", oneLine(err))
		return exitUsage
	}
	putCacheInHome(command, cli.Home)
	env := &environment{
		ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, home: cli.Home,
		flags: cli.childFlags(),
	}
	if env.log, err = cli.logger(stderr); err != nil {
		fmt.Fprintln(stderr, "prunellm:", err)
		return exitUsage
	}
	if err := useDevices(cli.Device, cli.Home); err != nil {
		return report(err, stderr)
	}
	// Libraries log through the default logger; what is below a warning there is of no use to a user.
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	limitHeap()
	warnOfSharedInputs(command, env.log)
	if err := command.Run(env, &cli); err != nil {
		return report(err, stderr)
	}
	return 0
}

// newParser knows all commands and flags; home is where setup put things.
func newParser(cli *commandLine, home string, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(cli, append(append(flags.Values(),
		kong.Name("prunellm"),
		kong.Description("Serves pruned variants of a language model behind an OpenAI-compatible API, and makes them itself."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.DefaultEnvars("PRUNELLM"),
		kong.ValueFormatter(withDefault),
		kong.Vars{"home": home, "cache": defaultCache(home), "version": "prunellm " + version}, criterionVars(),
	), options...)...)
}

// withDefault adds a flag's default to its help where the placeholder hides it.
func withDefault(value *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(value)
	if value.HasDefault && value.Default != "" && value.Tag.PlaceHolder != "" {
		help += " (default " + value.Default + ")"
	}
	return help
}

// exit unwinds the parser after it printed help or a version.
type exit struct{}

// parse reads the command line, with the variables and the file that stand in for flags.
func parse(parser *kong.Kong, args []string) (command *kong.Context, err error) {
	unsetEmpty(parser.Model.Node)
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(exit); !ok {
				panic(p)
			}
		}
	}()
	return parser.Parse(args)
}

// unsetEmpty removes the variables of flags that are set to nothing, as Compose sets them for ${NAME:-}: they are as if
// they were not set.
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

// usageError marks what the user must write differently; it ends with status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError ends with status 1 after the command itself said all there is to say.
type silentError struct{}

func (silentError) Error() string { return "failed" }

func report(err error, stderr io.Writer) int {
	var usage usageError
	switch {
	case errors.As(err, &silentError{}):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "prunellm:", oneLine(err))
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "prunellm: interrupted")
		return exitFailed
	default:
		fmt.Fprintln(stderr, "prunellm:", oneLine(err))
		return exitFailed
	}
}
