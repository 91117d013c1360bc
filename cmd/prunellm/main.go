// Command prunellm prunes a language model and serves it with an OpenAI-compatible API.
//
// This package only reads flags, builds the parts and connects them. Each command has one file.
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

	"prunellm/internal/calibration"
	"prunellm/internal/flags"
	"prunellm/internal/jobs"
	"prunellm/internal/machine"
	"prunellm/internal/outfile"
	"prunellm/internal/workshop"
)

// version is the release; the linker sets it (see Makefile).
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

// environment holds the parts of the process that a command may use.
type environment struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger
	home   string
	flags  []string // flags of child processes of the same binary
}

// child returns the command that starts a child process for a job.
func (e *environment) child() jobs.Command {
	return jobs.Command{Args: append([]string{"worker"}, e.flags...), Log: e.stderr}
}

// run executes one command and returns the exit status. It prints an error as one line on stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cli commandLine
	parser, err := newParser(&cli, defaultHome(os.Getenv),
		kong.Writers(stdout, stderr),
		flags.Exit(),
	)
	if err != nil {
		fmt.Fprintln(stderr, "prunellm:", err)
		return exitFailed
	}
	command, exited, err := flags.ParseArgs(parser, args)
	if exited != nil {
		return int(*exited)
	}
	if err != nil {
		fmt.Fprintf(stderr, "prunellm: %s (prunellm --help lists the flags)\n", flags.OneLine(err))
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
	// Libraries use the default logger; users need only their warnings and errors.
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	machine.LimitHeap(os.Getenv)
	flags.WarnOfShared(command, sharedInputs, env.log)
	if err := command.Run(env, &cli); err != nil {
		return report(err, stderr)
	}
	return 0
}

// newParser returns the parser of all commands and flags; home is the default of --home.
func newParser(cli *commandLine, home string, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(cli, append(append(flags.Values(),
		kong.Name("prunellm"),
		kong.Description("Prunes a language model to the size you choose, and serves it with an OpenAI-compatible API."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.DefaultEnvars("PRUNELLM"),
		kong.ValueFormatter(flags.WithDefault),
		kong.Vars{"home": home, "cache": defaultCache(home), "version": "prunellm " + version, "auto_calibration": calibration.Auto}, flags.CriterionVars(),
	), options...)...)
}

// usageError says that the user must change the command line. The process exits with status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError makes the process exit with status 1 and print nothing.
type silentError struct{}

func (silentError) Error() string { return "failed" }

func report(err error, stderr io.Writer) int {
	var (
		usage   usageError
		setting *workshop.SettingError
		path    *outfile.PathError
	)
	switch {
	case errors.As(err, &silentError{}):
		return exitFailed
	case errors.As(err, &usage), errors.As(err, &setting), errors.As(err, &path):
		fmt.Fprintln(stderr, "prunellm:", flags.OneLine(err))
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "prunellm: interrupted")
		return exitFailed
	default:
		fmt.Fprintln(stderr, "prunellm:", flags.OneLine(err))
		return exitFailed
	}
}
