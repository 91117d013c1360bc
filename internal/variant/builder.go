package variant

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/models"
	"prunellm/prune"
)

// Runner does jobs, each in a process of its own.
type Runner interface {
	Run(ctx context.Context, job Job, progress func(Progress)) (Outputs, error)
}

// Files keeps assembled files by their digest; *diskstore.Files does.
type Files interface {
	// Path finds a file that is whole.
	Path(ctx context.Context, digest string) (path string, ok bool, err error)
	// Create has write make the file, unless somebody else makes it meanwhile, and returns its path.
	Create(ctx context.Context, digest string, write func(tempPath string) error) (path string, err error)
}

// Builder makes the variants of one dense model, asking the store first.
//
// # Concurrency
//
// Build may be called from several goroutines; work that two of them share is done once, through the leases.
type Builder struct {
	Model  *models.GGUF
	Name   string // under which the model is served
	Store  store.Store
	Leaser store.Leaser
	Files  Files
	Runner Runner
	Codec  convert.Codec
	Tool   string // name and version, for the provenance of files
	Log    *slog.Logger
	// Scored, if set, is called for each score pass that was computed, not found, with the time it took.
	Scored func(took time.Duration)
	// Corrupt, if set, is called for each stored value that turned out not to fit the model.
	Corrupt func(kind store.Kind)
}

// Build makes the variant of a spec, or finds it. progress may be nil.
func (b *Builder) Build(ctx context.Context, spec Spec, progress func(Progress)) (Built, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if spec.Ratio == 0 && spec.FileType == convert.Keep {
		return b.dense(ctx)
	}
	modelDigest, err := b.modelDigest(ctx)
	if err != nil {
		return Built{}, err
	}
	w := &build{Builder: b, keys: keys{model: modelDigest, spec: spec}, spec: spec, progress: progress, made: map[store.Key][]byte{}}
	if spec.Ratio == 0 {
		return w.assemble(ctx, nil, nil)
	}
	// A ratio that the model cannot reach is known without scores.
	if err := CheckRatio(b.Model.Config(), spec.Ratio, spec.Budget); err != nil {
		return Built{}, err
	}
	plan, down, err := w.parts(ctx)
	if err != nil {
		return Built{}, err
	}
	return w.assemble(ctx, plan, down)
}

// modelDigest identifies the model, whose file must still be the one that was opened.
func (b *Builder) modelDigest(ctx context.Context) (string, error) {
	if err := b.notReplaced(ctx); err != nil {
		return "", err
	}
	return b.Model.Digest(ctx)
}

// notReplaced is Model.Unchanged for what reads the file that is open: that its name is gone does not matter there.
func (b *Builder) notReplaced(ctx context.Context) error {
	if err := b.Model.Unchanged(ctx); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dense is the model as it came.
func (b *Builder) dense(ctx context.Context) (Built, error) {
	if err := b.Model.Unchanged(ctx); err != nil {
		return Built{}, err
	}
	config := b.Model.Config()
	return Built{
		Model: b.Name, Path: b.Model.Path(), Digest: "dense", KeptMLP: 1, Widths: config.FFN,
		Parameters: config.Parameters(nil), Bytes: b.Model.File().Size, DenseBytes: b.Model.File().Size,
	}, nil
}

// build is one call of Build.
type build struct {
	*Builder
	keys     keys
	spec     Spec
	progress func(Progress)
	made     map[store.Key][]byte // values that this call computed, whether or not they could be stored
}

// value finds a stored value or has it computed once among all replicas, and checks that it fits the model. A value that
// is whole but does not fit came from somebody else's mistake or malice: it is deleted, counted and computed anew.
func (w *build) value(ctx context.Context, key store.Key, check func([]byte) error) error {
	if value, ok := w.made[key]; ok {
		return check(value)
	}
	sharing := store.Sharing{Store: w.Store, Leaser: w.Leaser, Log: w.Log, OnProgress: w.showLeader}
	value, err := sharing.Value(ctx, key, func(ctx context.Context, lease store.Lease) ([]byte, error) {
		return w.compute(ctx, key.Kind, lease)
	})
	if err != nil {
		return err
	}
	fault := check(value)
	if fault == nil && key.Kind == store.KindScores {
		w.made[key] = value // what follows has to be of these, whatever the store holds by then
	}
	if _, ours := w.made[key]; fault == nil || ours {
		return fault
	}
	w.Log.Warn("stored value does not fit the model, computing it again", "key", key.String(), "error", fault)
	if w.Corrupt != nil {
		w.Corrupt(key.Kind)
	}
	if err := w.Store.Delete(ctx, key); err != nil {
		w.Log.Warn("stored value not deleted", "key", key.String(), "error", err)
	}
	if value, err = w.compute(ctx, key.Kind, store.NoLease{Store: w.Store}); err != nil {
		return err
	}
	w.keep(ctx, store.NoLease{Store: w.Store}, key, value)
	return check(value)
}

// plan reads or computes the scores and selects the neurons. The selection is published by ratio beside the scores.
func (w *build) plan(ctx context.Context) (*prune.Plan, error) {
	var plan *prune.Plan
	err := w.value(ctx, w.keys.scores(), func(value []byte) (err error) {
		plan, err = w.planOf(value)
		return err
	})
	if err != nil {
		return nil, err
	}
	w.publishPlan(ctx, plan)
	return plan, nil
}

// publishPlan stores the selection where it is not stored yet, or differs: what follows from the scores rules.
func (w *build) publishPlan(ctx context.Context, plan *prune.Plan) {
	key, encoded := w.keys.plan(), plan.Encode()
	stored, err := w.Store.Get(ctx, key)
	if err == nil && string(stored) == string(encoded) {
		return
	}
	if err == nil && w.Corrupt != nil {
		w.Corrupt(store.KindPlan)
	}
	if err := w.Store.Put(ctx, key, encoded); err != nil {
		w.Log.Warn("plan not stored", "key", key.String(), "error", err)
	}
}

// down reads or computes the refitted matrices of a plan, in stored form.
func (w *build) down(ctx context.Context, plan *prune.Plan) ([]byte, error) {
	var down []byte
	err := w.value(ctx, w.keys.down(plan), func(value []byte) error {
		down = value
		return CheckDown(value, w.Model.Config(), plan, w.Codec)
	})
	return down, err
}

// compute runs the job that makes whatever is missing, and returns the value of the kind that the lease was taken for,
// which the caller stores. What else was made is stored here.
func (w *build) compute(ctx context.Context, wanted store.Kind, lease store.Lease) ([]byte, error) {
	config := w.Model.Config()
	job := Job{Spec: w.spec, ModelPath: w.Model.Path(), ModelDigest: w.keys.model, WantDown: w.spec.Reconstruct}
	job.Calibration = w.optional(ctx, w.keys.calibration(), func(v []byte) error {
		_, err := DecodeText(v, config.VocabSize)
		return err
	})
	job.Scores = w.optional(ctx, w.keys.scores(), func(v []byte) error {
		_, err := DecodeScores(v, config)
		return err
	})
	began := time.Now()
	out, err := w.Runner.Run(ctx, job, w.publishing(ctx, lease))
	if err == nil {
		err = w.Model.Unchanged(ctx) // since the job opened it by its path
	}
	if err != nil {
		return nil, err
	}
	if out.Calibration != nil {
		w.keep(ctx, lease, w.keys.calibration(), out.Calibration)
	}
	scores := job.Scores
	if scores == nil {
		scores = out.Scores
		w.made[w.keys.scores()] = scores
		if w.Scored != nil {
			w.Scored(time.Since(began))
		}
	}
	if wanted == store.KindDown {
		return out.Down, nil
	}
	if out.Down != nil {
		plan, err := w.planOf(scores)
		if err != nil {
			return nil, err
		}
		w.keep(ctx, lease, w.keys.down(plan), out.Down)
	}
	return scores, nil
}

// publishEvery is how often those who wait for a value hear how far it is.
const publishEvery = time.Second

// publishing shows progress, and passes it on to those who wait: each stage at once, and within one every so often, since it is a file that is
// written, or a command to Redis.
func (w *build) publishing(ctx context.Context, lease store.Lease) func(Progress) {
	var stage Stage
	var last time.Time
	return func(p Progress) {
		w.progress(p)
		if p.Stage == stage && time.Since(last) < publishEvery {
			return
		}
		stage, last = p.Stage, time.Now()
		if note, err := json.Marshal(p); err == nil {
			_ = lease.SetProgress(ctx, note) // they do without
		}
	}
}

// planOf selects the neurons by scores in stored form.
func (w *build) planOf(value []byte) (*prune.Plan, error) {
	scores, err := DecodeScores(value, w.Model.Config())
	if err != nil {
		return nil, err
	}
	return prune.MakePlan(w.Model.Config(), scores.Stage2, w.spec.Ratio, w.spec.Budget)
}

// optional is a stored value that saves work, nil when it is not there or does not fit.
func (w *build) optional(ctx context.Context, key store.Key, check func([]byte) error) []byte {
	value, ok := w.made[key]
	stored, err := w.Store.Get(ctx, key) // in any case: a store that lacks it takes a value up again when it is read
	switch {
	case ok:
	case err != nil:
		return nil
	default:
		value = stored
	}
	if check(value) != nil {
		return nil
	}
	return value
}

// keep remembers a value for this build and stores it for others.
func (w *build) keep(ctx context.Context, lease store.Lease, key store.Key, value []byte) {
	w.made[key] = value
	if err := lease.Put(ctx, key, value); err != nil && !errors.Is(err, context.Canceled) {
		w.Log.Warn("computed value not stored", "key", key.String(), "error", err)
	}
}

// showLeader passes on what the replica that computes has published; it is another process's word, so it is only shown.
func (w *build) showLeader(note []byte) {
	var p Progress
	if len(note) == 0 || json.Unmarshal(note, &p) != nil || p.Done < 0 || p.Total < 0 || p.Elapsed < 0 || !p.Stage.known() {
		p = Progress{}
	}
	w.progress(Progress{Stage: StageWaiting, Leader: p.Stage, Done: p.Done, Total: p.Total, Unit: knownUnit(p.Unit), Elapsed: p.Elapsed})
}

// Scores finds the importances that a spec's recipe gives, or has them computed. progress may be nil.
func (b *Builder) Scores(ctx context.Context, spec Spec, progress func(Progress)) (*prune.Scores, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	modelDigest, err := b.modelDigest(ctx)
	if err != nil {
		return nil, err
	}
	spec.Reconstruct = false
	w := &build{Builder: b, keys: keys{model: modelDigest, spec: spec}, spec: spec, progress: progress, made: map[store.Key][]byte{}}
	var scores *prune.Scores
	err = w.value(ctx, w.keys.scores(), func(value []byte) (err error) {
		scores, err = DecodeScores(value, b.Model.Config())
		return err
	})
	return scores, err
}
