package main

import (
	"context"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/jobs/work"
)

// workerCommand is the child process of one job. The parent writes the order to standard input.
type workerCommand struct {
	Kind string `arg:"" help:"Kind of job, the same as in the order; process lists show it."`
}

// Run does the job and writes its result to standard output.
func (w *workerCommand) Run(env *environment) error {
	child := work.Child{
		OpenBackend: func(ctx context.Context) (backends.Backend, error) { return openXLA(ctx, env.home, env.log) },
		Version:     version, Log: env.log,
	}
	if err := child.Serve(env.ctx, env.stdin, env.stdout); err != nil {
		return silentError{} // the result already carries it to the parent
	}
	return nil
}
