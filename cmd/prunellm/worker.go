package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/gomlx/gomlx/backends"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/internal/eigen"
	"prunellm/internal/jobs"
	"prunellm/internal/jobs/work"
	"prunellm/internal/regularfile"
	"prunellm/internal/reuse"
	"prunellm/internal/store"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/prune"
)

// The files by which a parent and its worker exchange the large values of a job.
const (
	calibrationFile = "calibration"
	scoresFile      = "scores"
	downFile        = "down"
)

// What lies in the cache folder beside the store's own.
const (
	jobsFolder = "jobs" // exchange folders
	statesFile = "hidden-states"
)

// maxExchangeBytes bounds a file that a worker leaves.
const maxExchangeBytes = store.MaxValueBytes

// order is what a parent sends to its worker: a job, and the folder where its values lie and are to be put.
type order struct {
	Job    variant.Job `json:"job"`
	Folder string      `json:"folder"`
	Home   string      `json:"home"`
	States string      `json:"states"` // file for the dense model's hidden states between refits

	Background bool `json:"background"` // give way to everything else on the machine
}

// processRunner does each job in a child process of the same binary.
type processRunner struct {
	env        *environment
	cacheDir   string
	background bool // requests are answered meanwhile, and come first
}

func newProcessRunner(env *environment, cacheDir string, background bool) *processRunner {
	return &processRunner{env: env, cacheDir: cacheDir, background: background}
}

// Run implements variant.Runner.
func (r *processRunner) Run(ctx context.Context, job variant.Job, progress func(variant.Progress)) (variant.Outputs, error) {
	self, err := jobs.Self()
	if err != nil {
		return variant.Outputs{}, fmt.Errorf("find own binary: %w", err)
	}
	cacheDir, err := filepath.Abs(r.cacheDir)
	if err != nil {
		return variant.Outputs{}, err
	}
	folder, release, err := newExchange(filepath.Join(cacheDir, jobsFolder))
	if err != nil {
		return variant.Outputs{}, err
	}
	defer release()
	if job.ModelPath, err = filepath.Abs(job.ModelPath); err != nil {
		return variant.Outputs{}, err
	}
	given := map[string][]byte{calibrationFile: job.Calibration, scoresFile: job.Scores}
	for name, value := range given {
		if value == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), value, 0o600); err != nil {
			return variant.Outputs{}, fmt.Errorf("hand over %s: %w", name, err)
		}
	}
	command := jobs.Command{Path: self, Args: append([]string{"worker"}, r.env.flags...), Log: r.env.stderr}
	_, err = jobs.Run[order, variant.Progress, struct{}](ctx, command,
		order{Job: job, Folder: folder, Home: r.env.home, States: filepath.Join(cacheDir, statesFile), Background: r.background}, progress)
	if err != nil {
		return variant.Outputs{}, err
	}
	var out variant.Outputs
	for name, target := range map[string]*[]byte{calibrationFile: &out.Calibration, scoresFile: &out.Scores, downFile: &out.Down} {
		if given[name] != nil {
			continue
		}
		if *target, err = readExchange(filepath.Join(folder, name)); err != nil {
			return variant.Outputs{}, fmt.Errorf("take over %s: %w", name, err)
		}
	}
	return out, nil
}

// readExchange reads a file that the other side may have left, nil if it did not.
func readExchange(path string) ([]byte, error) {
	value, err := regularfile.Read(path, maxExchangeBytes)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return value, err
}

// workerCommand is the child's side.
type workerCommand struct {
	Kind string `arg:"" optional:"" enum:"variant,card,recover" default:"variant" help:"What the order is for."`
}

// workerGCPercent keeps the garbage of a worker small: it is weights, a layer at a time, and collecting costs little where
// nearly all of the heap is a few large slices of numbers.
const workerGCPercent = 20

// workerBallast is how many bytes a worker allocates and never touches, so that they are no memory: the collector counts them as in use and lets
// a fifth of them become garbage before it begins. Without them the small heap of a small model was collected for each matrix, a
// twentieth of all processor time.
const workerBallast = 320 << 20

// Run serves one order from standard input.
func (w *workerCommand) Run(env *environment) error {
	debug.SetGCPercent(workerGCPercent)
	ballast := make([]byte, workerBallast)
	defer runtime.KeepAlive(ballast)
	switch w.Kind {
	case cardWorker:
		return serveMeasure(env)
	case recoverWorker:
		return serveRecovery(env)
	}
	return serveOrder(env, func(ctx context.Context, o order, progress func(variant.Progress)) (struct{}, error) {
		if o.Background {
			jobs.GiveWay()
		}
		return struct{}{}, o.perform(ctx, env.log, progress)
	})
}

// serveOrder is the child's side of every kind of work: it does one order from standard input.
func serveOrder[O, P, R any](env *environment, perform func(ctx context.Context, o O, progress func(P)) (R, error)) error {
	if err := jobs.Serve(env.ctx, env.stdin, env.stdout, os.Exit, perform); err != nil {
		return silentError{} // the parent has heard it
	}
	return nil
}

// perform does the job and leaves its values in the folder.
func (o order) perform(ctx context.Context, log *slog.Logger, progress func(variant.Progress)) (err error) {
	for name, target := range map[string]*[]byte{calibrationFile: &o.Job.Calibration, scoresFile: &o.Job.Scores} {
		if *target, err = readExchange(filepath.Join(o.Folder, name)); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	model, err := models.OpenGGUF(o.Job.ModelPath, ggmlquant.Dequantize)
	if err != nil {
		return err
	}
	defer model.Close()
	tools, closeTools := newTools(model, o.Home, o, log)
	defer closeTools()
	out, err := o.Job.Run(ctx, tools, progress)
	if err != nil {
		return err
	}
	for name, value := range map[string][]byte{calibrationFile: out.Calibration, scoresFile: out.Scores, downFile: out.Down} {
		if value == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(o.Folder, name), value, 0o600); err != nil {
			return fmt.Errorf("leave %s: %w", name, err)
		}
	}
	return nil
}

// newTools connects a job's parts to this model. The gradient backend is opened when it is first needed, after the
// dense model has written its text and is unloaded, so that its memory on a GPU is free. Without the order's folder no calibration text
// can be obtained.
func newTools(model *models.GGUF, home string, o order, log *slog.Logger) (tools variant.Tools, closeTools func()) {
	var backend backends.Backend
	var hidden *prune.Hidden
	open := func(ctx context.Context) (backends.Backend, error) {
		var err error
		if backend == nil {
			backend, err = openXLA(ctx, home, log)
		}
		return backend, err
	}
	tools = variant.Tools{
		Config: model.Config(),
		Text: func(ctx context.Context, spec variant.Spec, progress func(done, total int)) (variant.Text, error) {
			return work.CalibrationText(ctx, model, o.Folder, spec, progress)
		},
		Score: func(ctx context.Context, sequences [][]int32, recipe prune.Recipe, progress func(prune.Progress)) (*prune.Scores, error) {
			b, err := open(ctx)
			if err != nil {
				return nil, err
			}
			if !o.Job.WantDown {
				return prune.Score(ctx, b, model, sequences, recipe, progress)
			}
			var scores *prune.Scores
			scores, hidden, err = prune.ScoreKeeping(ctx, b, model, sequences, recipe, progress)
			return scores, err
		},
		Refit: func(ctx context.Context, plan *prune.Plan, sequences [][]int32, recipe prune.Recipe, progress func(prune.Progress), emit func(int, []float32) error) error {
			b, err := open(ctx)
			if err != nil {
				return err
			}
			precision := recipe.PrecisionOn(b)
			states := &prune.StateFile{File: reuse.File{Path: o.States, Folder: o.Folder, Identity: o.Job.ModelDigest + " " + string(precision)}}
			options := prune.ReconstructOptions{Emit: emit, Hidden: hidden, States: states, Log: log, Precision: precision}
			if eigen.Fast() {
				options.Algebra = eigen.Algebra{}
			}
			_, err = prune.Reconstruct(ctx, b, model, plan, sequences, options, progress)
			return err
		},
		PackDown: func(fileType convert.FileType) *variant.DownPacker {
			return variant.NewDownPacker(model, fileType, work.Codec())
		},
	}
	return tools, func() {
		hidden.Release()
		if backend != nil {
			backend.Finalize()
		}
	}
}
