package variant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/models"
	"prunellm/prune"
	"prunellm/prune/recover"
)

// Recovery describes how to train a pruned variant on the dense model's distribution.
type Recovery struct {
	Train        recover.Train `json:"train"`
	Tokens       int           `json:"tokens"`        // number of tokens to train on; if 0, Duration decides
	Duration     time.Duration `json:"duration"`      // training time without pauses; if 0, Tokens decides
	LearningRate float64       `json:"learning_rate"` // peak; if 0, Train and the ratio decide
	CrossEntropy float64       `json:"cross_entropy"` // weight of cross entropy in the loss, in [0,1]
	Seed         uint64        `json:"seed"`
	Source       string        `json:"source"`      // identifies the text, like prune.Recipe.Calibration
	Text         Calibration   `json:"text"`        // file and sequence length of the text
	TextTokens   int           `json:"text_tokens"` // maximum number of tokens of the text
}

// String returns the canonical form of all settings that decide the result. It leaves out the path of the text.
func (r Recovery) String() string {
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	return fmt.Sprintf("train=%s tokens=%d duration=%s learning_rate=%s cross_entropy=%s seed=%d source=%q length=%d text_tokens=%d",
		r.Train, r.Tokens, r.Duration, number(r.LearningRate), number(r.CrossEntropy), r.Seed, r.Source, r.Text.Length, r.TextTokens)
}

// recoveryVersion must change when the same recovery gives different weights.
const recoveryVersion = "1"

// RecoveryJob describes a training run in a child process.
type RecoveryJob struct {
	Spec      Spec     `json:"spec"`
	Recovery  Recovery `json:"recovery"`
	ModelPath string   `json:"model_path"`
	Identity  string   `json:"identity"` // key of the result; also names the checkpoint
	// HeldOut is the held-out calibration text for cards. Training must not read it.
	HeldOut [][]int32 `json:"held_out"`
	Plan    []byte    `json:"-"`
	Down    []byte    `json:"-"` // refitted matrices in stored form; nil without a refit
}

// Slim returns the pruned model to train, with the refitted matrices if there are any.
func (j RecoveryJob) Slim(model *models.GGUF, codec convert.Codec) (models.Weights, error) {
	plan, err := prune.DecodePlan(j.Plan)
	if err != nil {
		return nil, err
	}
	var down [][]float32
	if j.Down != nil {
		unpack, err := UnpackDown(j.Down, model.Config(), plan, codec)
		if err != nil {
			return nil, err
		}
		for layer := range plan.Kept {
			values, err := unpack(layer)
			if err != nil {
				return nil, err
			}
			down = append(down, values)
		}
	}
	return prune.Pruned(model, plan, down)
}

// Trainer runs recovery jobs, each in a child process. Recover returns the result of EncodeRecovered.
type Trainer interface {
	Recover(ctx context.Context, job RecoveryJob, progress func(Progress)) ([]byte, error)
}

// RecoveryReport compares the model before and after training on held-out text.
type RecoveryReport struct {
	recover.Result
	Better bool `json:"better"` // whether training lowered the held-out KL divergence; only then are there weights
}

// String returns KL divergence and perplexity before and after training in one line.
func (r RecoveryReport) String() string {
	return fmt.Sprintf("held-out text: KL to dense %.4f before, %.4f after; perplexity %.3f before, %.3f after (%d tokens in %s)",
		r.Before.KL, r.After.KL, r.Before.Perplexity(), r.After.Perplexity(), r.Tokens, r.Elapsed.Round(time.Second))
}

// ErrNotRecovered means that there is nothing to train, because the ratio is 0 or the plan keeps all neurons.
var ErrNotRecovered = errors.New("nothing was pruned, so there is nothing to recover")

// Recover returns the trained variant of a spec. It makes the pruned variant, then finds trained weights or has one
// replica train them. If training brought no gain, it returns the variant that Build makes. progress may be nil. The
// error wraps ErrNotRecovered if there is nothing to train.
func (b *Builder) Recover(ctx context.Context, spec Spec, recovery Recovery, trainer Trainer, progress func(Progress)) (Built, RecoveryReport, error) {
	return b.recovered(ctx, spec, recovery, progress, func(w *build, key store.Key, check func([]byte) error, job RecoveryJob) error {
		return w.trained(ctx, key, check, job, trainer)
	})
}

// FindRecovered is like Recover, but computes nothing. The error wraps store.ErrNotFound if the store lacks the trained
// weights or a value that they depend on.
func (b *Builder) FindRecovered(ctx context.Context, spec Spec, recovery Recovery, progress func(Progress)) (Built, RecoveryReport, error) {
	finder := *b
	finder.storedOnly = true
	return finder.recovered(ctx, spec, recovery, progress, func(w *build, key store.Key, check func([]byte) error, _ RecoveryJob) error {
		return w.stored(ctx, key, check)
	})
}

// recovered makes the variant with trained weights. obtain finds or trains them and passes them to check.
func (b *Builder) recovered(ctx context.Context, spec Spec, recovery Recovery, progress func(Progress),
	obtain func(w *build, key store.Key, check func([]byte) error, job RecoveryJob) error) (built Built, report RecoveryReport, err error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if spec.Ratio == 0 {
		return Built{}, report, ErrNotRecovered
	}
	if err := CheckSpec(b.Model, spec); err != nil {
		return Built{}, report, err
	}
	modelDigest, err := b.modelDigest(ctx)
	if err != nil {
		return Built{}, report, err
	}
	w := &build{Builder: b, keys: keys{model: modelDigest, spec: spec}, spec: spec, progress: progress, made: map[store.Key][]byte{}}
	plan, down, err := w.parts(ctx)
	if err != nil {
		return Built{}, report, err
	}
	if plan.Identity() {
		return Built{}, report, ErrNotRecovered
	}
	key := w.keys.recovered(plan, down, recovery)
	job := RecoveryJob{Spec: spec, Recovery: recovery, ModelPath: b.Model.Path(), Identity: key.String(), Plan: plan.Encode(), Down: down}
	if job.HeldOut, err = b.heldOut(ctx, w.keys); err != nil && !errors.Is(err, ErrNoHeldOut) {
		w.Log.Warn("held-out calibration text not read", "error", err)
	}
	var value []byte
	err = obtain(w, key, func(v []byte) error {
		value = v
		report, err = CheckRecovered(v, w.Model, spec.FileType, plan, w.Codec)
		return err
	}, job)
	if err != nil {
		return Built{}, report, err
	}
	if !report.Better {
		built, err = w.assemble(ctx, plan, down)
		return built, report, err
	}
	built, err = w.assembleRecovered(ctx, plan, down, value, recovery)
	if err != nil {
		return Built{}, report, err
	}
	built.Stage, built.Recovery = Healed, &report
	return built, report, nil
}

// parts returns the plan and the refitted matrices in stored form. down is nil without a refit.
func (w *build) parts(ctx context.Context) (plan *prune.Plan, down []byte, err error) {
	if plan, err = w.plan(ctx); err == nil && w.spec.Reconstruct {
		down, err = w.down(ctx, plan)
	}
	return plan, down, err
}

// trained finds the trained weights or has one replica train them. Like value, it replaces a stored value that does not
// fit.
func (w *build) trained(ctx context.Context, key store.Key, check func([]byte) error, job RecoveryJob, trainer Trainer) error {
	compute := func(ctx context.Context, lease store.Lease) ([]byte, error) {
		value, err := trainer.Recover(ctx, job, func(p Progress) {
			w.progress(p)
			if note, err := json.Marshal(p); err == nil {
				_ = lease.SetProgress(ctx, note) // only for display: ignore errors
			}
		})
		if err != nil {
			return nil, err
		}
		return value, w.Model.Unchanged(ctx)
	}
	value, err := store.Sharing{Store: w.Store, Leaser: w.Leaser, Log: w.Log, OnProgress: w.showLeader}.Value(ctx, key, compute)
	if err != nil {
		return err
	}
	fault := check(value)
	if fault == nil {
		return nil
	}
	w.Log.Warn("stored recovery does not fit the model, training again", "key", key.String(), "error", fault)
	if w.Corrupt != nil {
		w.Corrupt(key.Kind)
	}
	if err := w.Store.Delete(ctx, key); err != nil {
		w.Log.Warn("stored value not deleted", "key", key.String(), "error", err)
	}
	if value, err = compute(ctx, store.NoLease{Store: w.Store}); err != nil {
		return err
	}
	w.keep(ctx, store.NoLease{Store: w.Store}, key, value)
	return check(value)
}

// assembleRecovered is like assemble, with trained weights.
func (w *build) assembleRecovered(ctx context.Context, plan *prune.Plan, down, value []byte, recovery Recovery) (Built, error) {
	identity := digest(recoveryVersion, w.keys.file(plan, down), digest(string(value)))
	path, ok, err := w.Files.Path(ctx, identity)
	if err != nil {
		w.Log.Warn("file cache unusable, assembling again", "error", err)
	}
	if err != nil || !ok {
		w.progress(Progress{Stage: StageAssembling})
		path, err = w.Files.Create(ctx, identity, func(temp string) error {
			weights, err := DecodeRecovered(value, w.Model, w.spec.FileType, plan, w.Codec)
			if err != nil {
				return err
			}
			provenance := w.provenance(plan)
			provenance.Recovered = recovery.String()
			options := convert.Options{FileType: w.spec.FileType, Codec: w.Codec, Provenance: provenance, Kept: plan.Kept, Weights: weights}
			if down != nil {
				if options.LoadDown, err = UnpackDown(down, w.Model.Config(), plan, w.Codec); err != nil {
					return err
				}
			}
			return w.slim(ctx, temp, options)
		})
		if err != nil {
			return Built{}, fmt.Errorf("assemble recovered %s: %w", Name(w.Name, w.spec.Ratio), err)
		}
	}
	return w.built(path, identity, plan)
}

// recovered returns the key of trained weights. It depends on the pruned weights, the training and the stored type.
func (k keys) recovered(plan *prune.Plan, down []byte, recovery Recovery) store.Key {
	what := digest(recoveryVersion, neurons(plan), digest(string(down)), recovery.String())
	return store.Key{Model: k.model, Kind: store.KindRecovered, Recipe: k.spec.recipeDigest(), Detail: what[:2*digestLength] + "-" + string(k.spec.FileType)}
}
