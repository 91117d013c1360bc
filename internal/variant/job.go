package variant

import (
	"context"
	"fmt"
	"time"

	"prunellm/convert"
	"prunellm/models"
	"prunellm/prune"
)

// Job is the work that needs gradients or the dense model's activations. It runs in a child process. It does not
// recompute values that it is given. Calibration, Base and Scores are in stored form.
type Job struct {
	Spec        Spec   `json:"spec"`
	ModelPath   string `json:"model_path"`
	ModelDigest string `json:"model_digest"`
	Calibration []byte `json:"-"` // from EncodeText; if nil, the job obtains the text
	Base        []byte `json:"-"` // the text without its further part; if nil, the job obtains that too
	Scores      []byte `json:"-"` // from EncodeScores; if nil, the job computes them
	WantDown    bool   `json:"want_down"`
}

// Outputs holds the values that a job computed, in stored form. Values that the job was given, or that were not needed, are nil.
type Outputs struct {
	Calibration []byte `json:"-"`
	Scores      []byte `json:"-"`
	Down        []byte `json:"-"`
}

// Tools holds the functions that do the parts of a job for one model.
type Tools struct {
	Config models.Config
	// Text returns calibration text in sequences of spec.Calibration.Length tokens. It has spec.Text() tokens, up to
	// spec.Further() further ones if the source has them, and about spec.HeldOut() held-out ones. base is the text without
	// the further tokens if it is known, else empty.
	Text func(ctx context.Context, spec Spec, base Text, progress func(done, total int)) (Text, error)
	// Score computes the scores, float32[layers][neurons].
	Score func(ctx context.Context, sequences [][]int32, recipe prune.Recipe, progress func(prune.Progress)) (*prune.Scores, error)
	// Refit refits down_proj of every layer in the recipe's precision and adds it to the packer, from the first layer
	// to the last. It refits later layers to the rounded values that the packer returns.
	Refit func(ctx context.Context, plan *prune.Plan, sequences [][]int32, recipe prune.Recipe, progress func(prune.Progress), packer *DownPacker) error
	// PackDown returns an empty packer for the file type.
	PackDown func(fileType convert.FileType) *DownPacker
}

// Run does the job. Each progress report uses the unit of its stage.
func (j Job) Run(ctx context.Context, tools Tools, progress func(Progress)) (Outputs, error) {
	var out Outputs
	text, err := j.text(ctx, tools, progress, &out)
	if err != nil {
		return Outputs{}, err
	}
	scores, err := j.scores(ctx, tools, text.Scored(j.Spec), progress, &out)
	if err != nil {
		return Outputs{}, err
	}
	if !j.WantDown {
		return out, nil
	}
	plan, err := prune.MakePlanInSteps(tools.Config, scores.Stage2, j.Spec.Ratio, j.Spec.Budget, j.Spec.step())
	if err != nil {
		return Outputs{}, err
	}
	packer := tools.PackDown(j.Spec.FileType)
	if err := tools.Refit(ctx, plan, text.Refit(j.Spec.Refits()), j.Spec.Recipe, Clocked(progress), packer); err != nil {
		return Outputs{}, fmt.Errorf("refit down_proj: %w", err)
	}
	if out.Down, err = packer.Bytes(); err != nil {
		return Outputs{}, fmt.Errorf("pack refitted down_proj: %w", err)
	}
	return out, nil
}

func (j Job) text(ctx context.Context, tools Tools, progress func(Progress), out *Outputs) (text Text, err error) {
	needed := j.WantDown || (j.Scores == nil && j.Spec.Recipe.Criterion.NeedsTokens())
	if !needed {
		return Text{}, nil
	}
	if j.Calibration != nil {
		return DecodeText(j.Calibration, tools.Config.VocabSize)
	}
	var base Text
	if j.Base != nil {
		if base, err = DecodeText(j.Base, tools.Config.VocabSize); err != nil {
			return Text{}, err
		}
	}
	if text, err = tools.Text(ctx, j.Spec, base, NewCounter(StageCalibrating, "tokens", progress)); err != nil {
		return Text{}, fmt.Errorf("calibration: %w", err)
	}
	out.Calibration, err = EncodeText(text)
	return text, err
}

func (j Job) scores(ctx context.Context, tools Tools, sequences [][]int32, progress func(Progress), out *Outputs) (*prune.Scores, error) {
	if j.Scores != nil {
		return DecodeScores(j.Scores, tools.Config)
	}
	scores, err := tools.Score(ctx, sequences, j.Spec.Recipe, Clocked(progress))
	if err != nil {
		return nil, err
	}
	out.Scores, err = EncodeScores(scores)
	return scores, err
}

// Clocked converts progress reports of package prune to Progress. It measures the time of each stage from the stage's
// first report. It returns nil if progress is nil.
func Clocked(progress func(Progress)) func(prune.Progress) {
	if progress == nil {
		return nil
	}
	var stage string
	var began time.Time
	return func(p prune.Progress) {
		if p.Stage != stage {
			stage, began = p.Stage, time.Now()
		}
		progress(Progress{Stage: stageOf(p.Stage), Done: p.Done, Total: p.Total, Unit: "tokens", Elapsed: time.Since(began)})
	}
}

func stageOf(name string) Stage {
	switch name {
	case "stage1":
		return StageScoring1
	case "stage2":
		return StageScoring2
	case "reconstruct":
		return StageRefitting
	}
	return Stage(name)
}
