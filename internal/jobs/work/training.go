package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"prunellm/convert/ggmlquant"
	"prunellm/internal/jobs"
	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
	"prunellm/internal/variant"
	"prunellm/internal/xla"
	"prunellm/models"
	"prunellm/prune/recover"
)

// The values of a training job in addition to downValue, which is absent without a refit.
const (
	planValue      = "plan"
	recoveredValue = "recovered"
)

// textFile is the name of the file with the training text. It is in the folder of the checkpoints.
const textFile = "text.json"

// trainingPayload is the payload of a training job.
type trainingPayload struct {
	Job         variant.RecoveryJob `json:"job"`
	Checkpoints string              `json:"checkpoints"` // folder of this run's checkpoints
}

// Recover implements variant.Trainer. It removes the checkpoints when training is complete.
func (o *Orders) Recover(ctx context.Context, job variant.RecoveryJob, progress func(variant.Progress)) ([]byte, error) {
	var err error
	if job.ModelPath, err = filepath.Abs(job.ModelPath); err != nil {
		return nil, err
	}
	folder := filepath.Join(o.cacheDir, checkpoints)
	if _, err := trust.Tree(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder of checkpoints: %w", err)
	}
	identity := sha256.Sum256([]byte(job.Identity))
	payload := trainingPayload{Job: job, Checkpoints: filepath.Join(folder, hex.EncodeToString(identity[:8]))}
	orders := o.Unhurried() // the variant answers requests without it
	_, made, err := orders.parent.Do(ctx, training, payload, jobs.Values{planValue: job.Plan, downValue: job.Down}, reports(progress))
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(payload.Checkpoints); err != nil {
		o.log.Warn("checkpoints not removed", "path", payload.Checkpoints, "error", err)
	}
	return made[recoveredValue], nil
}

// train trains a variant.
func (c Child) train(ctx context.Context, call *jobs.Call, p trainingPayload, progress func(variant.Progress)) (any, jobs.Values, error) {
	p.Job.Plan, p.Job.Down = call.Values[planValue], call.Values[downValue]
	model, err := models.OpenGGUF(p.Job.ModelPath, ggmlquant.Dequantize)
	if err != nil {
		return nil, nil, err
	}
	defer model.Close()
	slim, err := p.Job.Slim(model, Codec())
	if err != nil {
		return nil, nil, err
	}
	sequences, err := p.sequences(ctx, call, model, progress)
	if err != nil {
		return nil, nil, err
	}
	// Open the backend only now: the dense model has written its text and is unloaded, so its memory on a GPU is free.
	backend, err := c.OpenBackend(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer backend.Finalize()
	result, err := recover.Run(ctx, backend, model, slim, sequences, c.trainingOptions(call, p, model, slim), p.report(progress))
	if err != nil {
		return nil, nil, err
	}
	value, err := variant.EncodeRecovered(model, p.Job.Spec.FileType, slim.Config(), result, Codec())
	return nil, jobs.Values{recoveredValue: value}, err
}

func (c Child) trainingOptions(call *jobs.Call, p trainingPayload, model *models.GGUF, slim models.Weights) recover.Options {
	r, fileType := p.Job.Recovery, p.Job.Spec.FileType
	rate := r.LearningRate
	if rate == 0 {
		rate = recover.DefaultLearningRate(r.Train, p.Job.Spec.Ratio)
	}
	return recover.Options{
		Train: r.Train, Tokens: r.Tokens, Duration: r.Duration, LearningRate: rate, CrossEntropy: r.CrossEntropy, Seed: r.Seed,
		Precision: p.Job.Spec.Recipe.Precision, Folder: p.Checkpoints, Identity: p.Job.Identity, Log: c.Log,
		Round: func(role models.Role, layer int, values []float32, _ int) ([]float32, error) {
			return variant.RoundTrained(model, fileType, slim.Config(), models.Slot{Role: role, Layer: layer}, values, Codec())
		},
		ReturnMemory: xla.ReturnMemory, Now: call.Now(),
	}
}

// report converts progress of training to progress of a variant. Its unit is tokens, or seconds if a duration limits
// training.
func (p trainingPayload) report(progress func(variant.Progress)) func(recover.Progress) {
	total, unit := p.Job.Recovery.Tokens, "tokens"
	if total == 0 {
		total, unit = int(p.Job.Recovery.Duration.Seconds()), "seconds"
	}
	return func(r recover.Progress) {
		progress(variant.Progress{
			Stage: variant.StageRecovering, Done: int(r.Done * float64(total)), Total: total, Unit: unit, Elapsed: r.Elapsed,
		})
	}
}

// sequences returns the text to train on. It reads the text from the folder of checkpoints if an interrupted run left
// it there.
func (p trainingPayload) sequences(ctx context.Context, call *jobs.Call, model *models.GGUF, progress func(variant.Progress)) ([][]int32, error) {
	path, vocab := filepath.Join(p.Checkpoints, textFile), model.Config().VocabSize
	if kept, err := regularfile.Read(path, variant.MaxTokenFileBytes); err == nil {
		if text, err := variant.DecodeText(kept, vocab); err == nil {
			return text.Tokens, nil
		}
	}
	sequences, err := TrainingText(ctx, model, call.Folder, p.Job, variant.NewCounter(variant.StageCalibrating, "tokens", progress))
	if err != nil {
		return nil, fmt.Errorf("training text: %w", err)
	}
	value, err := variant.EncodeText(variant.Text{Tokens: sequences})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.Checkpoints, 0o700); err == nil {
		_ = renameio.WriteFile(path, value, 0o600) // only saves time: ignore errors
	}
	return sequences, nil
}
