package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"prunellm/convert/ggmlquant"
	"prunellm/internal/jobs"
	"prunellm/internal/jobs/work"
	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
	"prunellm/internal/variant"
	"prunellm/internal/xla"
	"prunellm/models"
	"prunellm/prune/recover"
)

// recoverWorker is the kind of worker that trains.
const recoverWorker = "recover"

// Files of a training in its exchange folder, and of its text in the checkpoint folder.
const (
	planFile      = "plan"
	recoveredFile = "recovered"
	heldFile      = "held" // how long the training was held up
	textFile      = "text.json"
)

// recoverOrder is what a parent sends to a worker that trains.
type recoverOrder struct {
	Job         variant.RecoveryJob `json:"job"`
	Folder      string              `json:"folder"`
	Checkpoints string              `json:"checkpoints"` // folder of this training's checkpoints
	Home        string              `json:"home"`
	Background  bool                `json:"background"` // give way to everything else on the machine
}

// processTrainer does each training in a child process of the same binary. It implements variant.Trainer.
type processTrainer struct {
	env         *environment
	scratch     string
	checkpoints string // folder of the folders of checkpoints
	background  bool
	pause       *pauser // nil: never pauses
}

func newProcessTrainer(env *environment, cacheDir string, background bool) *processTrainer {
	return &processTrainer{
		env: env, scratch: filepath.Join(cacheDir, "jobs"), checkpoints: filepath.Join(cacheDir, "recovery"), background: background,
	}
}

// Recover implements variant.Trainer. The checkpoints of a training that came to its end are removed.
func (r *processTrainer) Recover(ctx context.Context, job variant.RecoveryJob, progress func(variant.Progress)) ([]byte, error) {
	self, err := jobs.Self()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	folder, release, err := newExchange(r.scratch)
	if err != nil {
		return nil, err
	}
	defer release()
	if job.ModelPath, err = filepath.Abs(job.ModelPath); err != nil {
		return nil, err
	}
	for name, value := range map[string][]byte{planFile: job.Plan, downFile: job.Down} {
		if value == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), value, 0o600); err != nil {
			return nil, fmt.Errorf("hand over %s: %w", name, err)
		}
	}
	if _, err := trust.Tree(r.checkpoints); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder of checkpoints: %w", err)
	}
	sum := sha256.Sum256([]byte(job.Identity))
	o := recoverOrder{
		Job: job, Folder: folder, Checkpoints: filepath.Join(r.checkpoints, hex.EncodeToString(sum[:8])), Home: r.env.home,
		Background: r.background,
	}
	command := jobs.Command{Path: self, Args: append([]string{"worker", recoverWorker}, r.env.flags...), Log: r.env.stderr}
	if r.pause != nil {
		defer r.pause.use(filepath.Join(folder, heldFile))()
		command.Hold = &r.pause.hold
	}
	if _, err = jobs.Run[recoverOrder, variant.Progress, struct{}](ctx, command, o, progress); err != nil {
		return nil, err
	}
	value, err := regularfile.Read(filepath.Join(folder, recoveredFile), maxExchangeBytes)
	if err != nil {
		return nil, fmt.Errorf("take over trained weights: %w", err)
	}
	if err := os.RemoveAll(o.Checkpoints); err != nil {
		r.env.log.Warn("checkpoints not removed", "path", o.Checkpoints, "error", err)
	}
	return value, nil
}

// serveRecovery is the child's side: it serves one order from standard input.
func serveRecovery(env *environment) error {
	return serveOrder(env, func(ctx context.Context, o recoverOrder, progress func(variant.Progress)) (struct{}, error) {
		if o.Background {
			jobs.GiveWay()
		}
		return struct{}{}, o.perform(ctx, env.log, progress)
	})
}

// perform trains and leaves the trained weights in the folder.
func (o recoverOrder) perform(ctx context.Context, log *slog.Logger, progress func(variant.Progress)) (err error) {
	for name, target := range map[string]*[]byte{planFile: &o.Job.Plan, downFile: &o.Job.Down} {
		if *target, err = readExchange(filepath.Join(o.Folder, name)); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	model, err := models.OpenGGUF(o.Job.ModelPath, ggmlquant.Dequantize)
	if err != nil {
		return err
	}
	defer model.Close()
	slim, err := o.Job.Slim(model, work.Codec())
	if err != nil {
		return err
	}
	sequences, err := o.sequences(ctx, model, progress)
	if err != nil {
		return err
	}
	// After the dense model has written its text and is unloaded, so that its memory on a GPU is free.
	backend, err := openXLA(ctx, o.Home, log)
	if err != nil {
		return err
	}
	defer backend.Finalize()
	result, err := recover.Run(ctx, backend, model, slim, sequences, o.options(model, slim, log), o.report(progress))
	if err != nil {
		return err
	}
	value, err := variant.EncodeRecovered(model, o.Job.Spec.FileType, slim.Config(), result, work.Codec())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.Folder, recoveredFile), value, 0o600); err != nil {
		return fmt.Errorf("leave trained weights: %w", err)
	}
	return nil
}

func (o recoverOrder) options(model *models.GGUF, slim models.Weights, log *slog.Logger) recover.Options {
	r, fileType := o.Job.Recovery, o.Job.Spec.FileType
	rate := r.LearningRate
	if rate == 0 {
		rate = recover.DefaultLearningRate(r.Train, o.Job.Spec.Ratio)
	}
	return recover.Options{
		Train: r.Train, Tokens: r.Tokens, Duration: r.Duration, LearningRate: rate, CrossEntropy: r.CrossEntropy, Seed: r.Seed, Precision: o.Job.Spec.Recipe.Precision,
		Folder: o.Checkpoints, Identity: o.Job.Identity, Log: log,
		Round: func(role models.Role, layer int, values []float32, _ int) ([]float32, error) {
			return variant.RoundTrained(model, fileType, slim.Config(), models.Slot{Role: role, Layer: layer}, values, work.Codec())
		},
		ReturnMemory: xla.ReturnMemory, Now: workingClock(filepath.Join(o.Folder, heldFile)),
	}
}

// report turns the training's progress into that of a variant: in tokens, or in seconds where time ends it.
func (o recoverOrder) report(progress func(variant.Progress)) func(recover.Progress) {
	total, unit := o.Job.Recovery.Tokens, "tokens"
	if total == 0 {
		total, unit = int(o.Job.Recovery.Duration.Seconds()), "seconds"
	}
	return func(p recover.Progress) {
		progress(variant.Progress{
			Stage: variant.StageRecovering, Done: int(p.Done * float64(total)), Total: total, Unit: unit, Elapsed: p.Elapsed,
		})
	}
}

// sequences gives the text to train on, which an interrupted training has left beside its checkpoint.
func (o recoverOrder) sequences(ctx context.Context, model *models.GGUF, progress func(variant.Progress)) ([][]int32, error) {
	path, vocab := filepath.Join(o.Checkpoints, textFile), model.Config().VocabSize
	if kept, err := readExchange(path); err == nil && kept != nil {
		if text, err := variant.DecodeText(kept, vocab); err == nil {
			return text.Tokens, nil
		}
	}
	sequences, err := work.TrainingText(ctx, model, o.Folder, o.Job, variant.NewCounter(variant.StageCalibrating, "tokens", progress))
	if err != nil {
		return nil, fmt.Errorf("text to train on: %w", err)
	}
	value, err := variant.EncodeText(variant.Text{Tokens: sequences})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Checkpoints, 0o700); err == nil {
		_ = renameio.WriteFile(path, value, 0o600) // it saves time, no more
	}
	return sequences, nil
}
