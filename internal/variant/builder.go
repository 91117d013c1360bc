package variant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/models"
	"prunellm/prune"
)

// Runner runs jobs, each in a child process.
type Runner interface {
	Run(ctx context.Context, job Job, progress func(Progress)) (Outputs, error)
}

// Files caches assembled files by their digest. *disk.Files implements it.
type Files interface {
	// Path returns the path of a cached file. ok reports whether there is one and its content is intact.
	Path(ctx context.Context, digest string) (path string, ok bool, err error)
	// Create calls write to make the file and returns the file's path. If another process is making it, Create waits
	// for that process instead.
	Create(ctx context.Context, digest string, write func(tempPath string) error) (path string, err error)
}

// Builder makes the variants of one dense model. It asks the store first.
//
// # Concurrency
//
// Several goroutines may call Build. Leases keep them from computing the same value twice.
type Builder struct {
	Model  *models.GGUF
	Name   string // the served model name
	Store  store.Store
	Leaser store.Leaser
	Files  Files
	Runner Runner
	Codec  convert.Codec
	Tool   string // name and version of the program, for the provenance of files
	Log    *slog.Logger
	// Scored, if not nil, is called with the duration of each job that computed scores. Scores from the store do not
	// count.
	Scored func(took time.Duration)
	// Corrupt, if not nil, is called with the kind of each stored value that is not valid for the model.
	Corrupt func(kind store.Kind)

	storedOnly bool // compute nothing
}

// Build makes or finds the variant of a spec. progress may be nil. The package comment describes the errors.
func (b *Builder) Build(ctx context.Context, spec Spec, progress func(Progress)) (Built, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if spec.Ratio == 0 && spec.FileType == convert.Keep {
		return b.dense(ctx)
	}
	// CheckSpec needs no scores, so it runs before any job.
	if err := CheckSpec(b.Model, spec); err != nil {
		return Built{}, err
	}
	modelDigest, err := b.modelDigest(ctx)
	if err != nil {
		return Built{}, err
	}
	w := &build{Builder: b, keys: keys{model: modelDigest, spec: spec}, spec: spec, file: true, made: map[store.Key][]byte{}}
	w.progress = func(p Progress) { progress(w.whole.place(p)) }
	if spec.Ratio == 0 {
		return w.assemble(ctx, nil, nil)
	}
	plan, down, err := w.parts(ctx)
	if err != nil {
		return Built{}, err
	}
	return w.assemble(ctx, plan, down)
}

// Find is like Build, but computes nothing: it assembles the file of stored values. The error wraps store.ErrNotFound if the
// store lacks one of them.
func (b *Builder) Find(ctx context.Context, spec Spec) (Built, error) {
	finder := *b
	finder.storedOnly = true
	return finder.Build(ctx, spec, nil)
}

// modelDigest returns the digest of the model, or an error if another file has replaced the open one.
func (b *Builder) modelDigest(ctx context.Context) (string, error) {
	if err := b.notReplaced(ctx); err != nil {
		return "", err
	}
	return b.Model.Digest(ctx)
}

// notReplaced is like Model.Unchanged, but accepts a deleted path, which does not matter to readers of the open file.
func (b *Builder) notReplaced(ctx context.Context) error {
	if err := b.Model.Unchanged(ctx); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dense returns the unmodified model file as a variant.
func (b *Builder) dense(ctx context.Context) (Built, error) {
	if err := b.Model.Unchanged(ctx); err != nil {
		return Built{}, err
	}
	return Built{
		Model: b.Name, Stage: Dense, Path: b.Model.Path(), Digest: "dense", KeptMLP: 1, Widths: b.Model.Config().FFN,
		Parameters: b.Model.Parameters(), Bytes: b.Model.File().Size, DenseBytes: b.Model.File().Size,
	}, nil
}

// build holds the state of one call of Build, Recover or Scores.
type build struct {
	*Builder
	keys     keys
	spec     Spec
	progress func(Progress)
	file     bool                 // whether the build ends with a file
	whole    whole                // the stages of the running job and those that follow
	made     map[store.Key][]byte // values that this call computed, even if the store did not accept them
}

// value finds a stored value, or has one replica compute it, and checks that it fits the model. Even a value with a
// correct checksum may not fit, if another writer made a mistake or is malicious. value deletes, counts and recomputes
// such a value.
func (w *build) value(ctx context.Context, key store.Key, check func([]byte) error) error {
	if value, ok := w.made[key]; ok {
		return check(value)
	}
	if w.storedOnly {
		return w.stored(ctx, key, check)
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
		w.made[key] = value // later steps must use these scores, even if the store changes meanwhile
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

// stored reads a value from the store and checks that it fits the model. It treats a value that does not fit as missing.
func (w *build) stored(ctx context.Context, key store.Key, check func([]byte) error) error {
	value, err := w.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	if err := check(value); err != nil {
		return fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return nil
}

// plan reads or computes the scores and plans the neurons to keep. It publishes the plan under its ratio, so that other
// replicas can offer it.
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

// publishPlan stores the plan unless the store has the same one. It replaces a stored plan that differs, because the
// scores decide.
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

// down reads or computes the refitted down_proj matrices of a plan, in stored form.
func (w *build) down(ctx context.Context, plan *prune.Plan) ([]byte, error) {
	var down []byte
	err := w.value(ctx, w.keys.down(plan), func(value []byte) error {
		down = value
		return CheckDown(value, w.Model.Config(), plan, w.Codec)
	})
	return down, err
}

// compute runs the job that computes all missing values. It returns the value of the wanted kind; the caller holds the
// lease for it and stores it. compute stores the other values itself.
func (w *build) compute(ctx context.Context, wanted store.Kind, lease store.Lease) ([]byte, error) {
	config := w.Model.Config()
	job := Job{Spec: w.spec, ModelPath: w.Model.Path(), ModelDigest: w.keys.model, WantDown: w.spec.Reconstruct}
	isText := func(v []byte) error {
		_, err := DecodeText(v, config.VocabSize)
		return err
	}
	job.Calibration = w.optional(ctx, w.keys.calibration(), isText)
	if base := w.keys.text(0); job.Calibration == nil && base != w.keys.calibration() {
		job.Base = w.optional(ctx, base, isText)
	}
	job.Scores = w.optional(ctx, w.keys.scores(), func(v []byte) error {
		_, err := DecodeScores(v, config)
		return err
	})
	w.whole = *wholeOf(job, w.file)
	began := time.Now()
	out, err := w.Runner.Run(ctx, job, w.publishing(ctx, lease))
	if err == nil {
		err = w.Model.Unchanged(ctx) // the job opens the model by its path
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

// publishEvery is the interval at which a stage's progress is published to waiting replicas.
const publishEvery = time.Second

// publishing returns a function that shows progress and publishes it to waiting replicas. It publishes a new stage
// immediately and further progress every publishEvery, because each note costs a file write or a Redis command.
func (w *build) publishing(ctx context.Context, lease store.Lease) func(Progress) {
	var stage Stage
	var last time.Time
	return func(p Progress) {
		w.progress(p)
		p = w.whole.place(p)
		if p.Stage == stage && time.Since(last) < publishEvery {
			return
		}
		stage, last = p.Stage, time.Now()
		if note, err := json.Marshal(p); err == nil {
			_ = lease.SetProgress(ctx, note) // only for display: ignore errors
		}
	}
}

// planOf plans the neurons to keep from scores in stored form.
func (w *build) planOf(value []byte) (*prune.Plan, error) {
	scores, err := DecodeScores(value, w.Model.Config())
	if err != nil {
		return nil, err
	}
	return prune.MakePlanInSteps(w.Model.Config(), scores.Stage2, w.spec.Ratio, w.spec.Budget, w.spec.step())
}

// optional returns a stored value that would save the job some work. It returns nil if the value is missing or does not
// fit.
func (w *build) optional(ctx context.Context, key store.Key, check func([]byte) error) []byte {
	value, ok := w.made[key]
	stored, err := w.Store.Get(ctx, key) // even if w.made has it: reading copies a value into the layers of the store that lack it
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

// keep remembers a value for this build and stores it for other builds.
func (w *build) keep(ctx context.Context, lease store.Lease, key store.Key, value []byte) {
	w.made[key] = value
	if err := lease.Put(ctx, key, value); err != nil && !errors.Is(err, context.Canceled) {
		w.Log.Warn("computed value not stored", "key", key.String(), "error", err)
	}
}

// showLeader shows the progress that the leader has published. Another process wrote the note, so showLeader accepts
// only known stages and units, and counts of at least 0.
func (w *build) showLeader(note []byte) {
	var p Progress
	if len(note) == 0 || json.Unmarshal(note, &p) != nil || p.Done < 0 || p.Total < 0 || p.Elapsed < 0 || !p.Stage.known() {
		p = Progress{}
	}
	if !p.placed() {
		p.Step, p.Steps, p.Left = 0, 0, 0
	}
	w.progress(Progress{
		Stage: StageWaiting, Leader: p.Stage, Done: p.Done, Total: p.Total, Unit: knownUnit(p.Unit), Elapsed: p.Elapsed,
		Step: p.Step, Steps: p.Steps, Left: p.Left,
	})
}

// Scores finds or computes the scores for a spec's recipe. progress may be nil.
func (b *Builder) Scores(ctx context.Context, spec Spec, progress func(Progress)) (*prune.Scores, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	modelDigest, err := b.modelDigest(ctx)
	if err != nil {
		return nil, err
	}
	spec.Reconstruct = false
	w := &build{Builder: b, keys: keys{model: modelDigest, spec: spec}, spec: spec, made: map[store.Key][]byte{}}
	w.progress = func(p Progress) { progress(w.whole.place(p)) }
	var scores *prune.Scores
	err = w.value(ctx, w.keys.scores(), func(value []byte) (err error) {
		scores, err = DecodeScores(value, b.Model.Config())
		return err
	})
	return scores, err
}
