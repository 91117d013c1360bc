package work

import (
	"context"
	"path/filepath"

	"github.com/gomlx/gomlx/backends"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/internal/eigen"
	"prunellm/internal/jobs"
	"prunellm/internal/reuse"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/prune"
)

// The values of a build job. The job does not recompute values that it is given.
const (
	calibrationValue = "calibration"
	baseValue        = "base" // calibration without further tokens
	scoresValue      = "scores"
	downValue        = "down"
)

// buildPayload is the payload of a build job.
type buildPayload struct {
	Job    variant.Job `json:"job"`
	States string      `json:"states"` // file that keeps the dense model's hidden states between refits
}

// Run implements variant.Runner.
func (o *Orders) Run(ctx context.Context, job variant.Job, progress func(variant.Progress)) (variant.Outputs, error) {
	var err error
	if job.ModelPath, err = filepath.Abs(job.ModelPath); err != nil {
		return variant.Outputs{}, err
	}
	payload := buildPayload{Job: job, States: filepath.Join(o.cacheDir, statesFile)}
	given := jobs.Values{calibrationValue: job.Calibration, baseValue: job.Base, scoresValue: job.Scores}
	_, made, err := o.parent.Do(ctx, build, payload, given, reports(progress))
	return variant.Outputs{Calibration: made[calibrationValue], Scores: made[scoresValue], Down: made[downValue]}, err
}

// build does a build job.
func (c Child) build(ctx context.Context, call *jobs.Call, p buildPayload, progress func(variant.Progress)) (any, jobs.Values, error) {
	p.Job.Calibration, p.Job.Base, p.Job.Scores = call.Values[calibrationValue], call.Values[baseValue], call.Values[scoresValue]
	model, err := models.OpenGGUF(p.Job.ModelPath, ggmlquant.Dequantize)
	if err != nil {
		return nil, nil, err
	}
	defer model.Close()
	b := &builder{child: c, model: model, job: p.Job, folder: call.Folder, states: p.States}
	defer b.close()
	out, err := p.Job.Run(ctx, b.tools(), progress)
	if err != nil {
		return nil, nil, err
	}
	return nil, jobs.Values{calibrationValue: out.Calibration, scoresValue: out.Scores, downValue: out.Down}, nil
}

// builder connects the parts of a build job for one model.
type builder struct {
	child   Child
	model   *models.GGUF
	job     variant.Job
	folder  string
	states  string
	backend backends.Backend // nil until it is opened
	hidden  *prune.Hidden    // hidden states of the scoring pass for the refit; may be nil
}

func (b *builder) tools() variant.Tools {
	return variant.Tools{
		Config: b.model.Config(),
		Text: func(ctx context.Context, spec variant.Spec, base variant.Text, progress func(done, total int)) (variant.Text, error) {
			return CalibrationText(ctx, b.model, b.folder, spec, base, progress)
		},
		Score: b.score,
		Refit: b.refit,
		PackDown: func(fileType convert.FileType) *variant.DownPacker {
			return variant.NewDownPacker(b.model, fileType, Codec())
		},
	}
}

// open opens the gradient backend the first time. It is called after the dense model has written its text and is
// unloaded, so the model's memory on a GPU is free.
func (b *builder) open(ctx context.Context) (_ backends.Backend, err error) {
	if b.backend == nil {
		b.backend, err = b.child.OpenBackend(ctx)
	}
	return b.backend, err
}

func (b *builder) score(ctx context.Context, sequences [][]int32, recipe prune.Recipe, progress func(prune.Progress)) (*prune.Scores, error) {
	backend, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	if !b.job.WantDown {
		return prune.Score(ctx, backend, b.model, sequences, recipe, progress)
	}
	scores, hidden, err := prune.ScoreKeeping(ctx, backend, b.model, sequences, recipe, progress)
	b.hidden = hidden
	return scores, err
}

func (b *builder) refit(ctx context.Context, plan *prune.Plan, sequences [][]int32, recipe prune.Recipe,
	progress func(prune.Progress), packer *variant.DownPacker) error {
	backend, err := b.open(ctx)
	if err != nil {
		return err
	}
	precision := recipe.PrecisionOn(backend)
	states := &prune.StateFile{File: reuse.File{Path: b.states, Folder: b.folder, Identity: b.job.ModelDigest + " " + string(precision)}}
	options := prune.ReconstructOptions{Emit: packer.Add, Grid: packer.Grid, Hidden: b.hidden, States: states, Log: b.child.Log, Precision: precision, Scratch: b.folder}
	if eigen.Fast() {
		options.Algebra = eigen.Algebra{}
	}
	_, err = prune.Reconstruct(ctx, backend, b.model, plan, sequences, options, progress)
	return err
}

func (b *builder) close() {
	b.hidden.Release()
	if b.backend != nil {
		b.backend.Finalize()
	}
}
