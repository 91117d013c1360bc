package variant_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/internal/store/disk"
	"prunellm/internal/tinymodel"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/prune"
)

// countingRunner runs jobs in this process with fake scores and counts the calls.
type countingRunner struct {
	model          *models.GGUF
	calibrations   int
	scores, refits int
	base           variant.Text // given to the last text
	scored, fitted [][]int32    // read by the last score and refit
	fail           error
	during         func() // runs during a job; may be nil
}

func (r *countingRunner) Run(ctx context.Context, job variant.Job, progress func(variant.Progress)) (variant.Outputs, error) {
	if r.fail != nil {
		return variant.Outputs{}, r.fail
	}
	if r.during != nil {
		r.during()
	}
	config := r.model.Config()
	return job.Run(ctx, variant.Tools{
		Config: config,
		Text: func(_ context.Context, spec variant.Spec, base variant.Text, _ func(done, total int)) (variant.Text, error) {
			if r.base = base; len(base.Tokens) == 0 {
				r.calibrations++
				base = variant.Text{Tokens: [][]int32{{1, 2, 3}, {4, 5, 6}}, HeldOut: [][]int32{{7, 8, 9}}}
			}
			if spec.Further() > 0 {
				base.Further = [][]int32{{10, 11, 12}}
			}
			return base, nil
		},
		Score: func(_ context.Context, scored [][]int32, recipe prune.Recipe, report func(prune.Progress)) (*prune.Scores, error) {
			r.scores++
			r.scored = scored
			report(prune.Progress{Stage: "stage1", Done: 1, Total: 2})
			random := rand.New(rand.NewPCG(recipe.Seed, uint64(len(scored))))
			rows := make([][]float32, config.Layers)
			for layer, width := range config.FFN {
				rows[layer] = make([]float32, width)
				for i := range rows[layer] {
					rows[layer][i] = random.Float32()
				}
			}
			return &prune.Scores{Stage1: rows, Stage2: rows}, nil
		},
		Refit: func(_ context.Context, plan *prune.Plan, fitted [][]int32, _ prune.Recipe, _ func(prune.Progress), packer *variant.DownPacker) error {
			r.refits++
			r.fitted = fitted
			for layer, width := range plan.Widths() {
				down := make([]float32, config.HiddenSize*width)
				for i := range down {
					down[i] = float32(i%7) / 8
				}
				if _, err := packer.Add(layer, down); err != nil {
					return err
				}
			}
			return nil
		},
		PackDown: func(fileType convert.FileType) *variant.DownPacker {
			return variant.NewDownPacker(r.model, fileType, convert.Codec{})
		},
	}, progress)
}

// workshop is a Builder for a tiny model with a real disk store.
type workshop struct {
	*variant.Builder
	runner  *countingRunner
	passes  int
	corrupt int
}

func newWorkshop(t *testing.T, cache string) *workshop {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	options := disk.Options{Log: slog.New(slog.DiscardHandler)}
	values, err := disk.Open(cache, options)
	if err != nil {
		t.Fatal(err)
	}
	files, err := disk.OpenFiles(cache, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = files.Close(), values.Close(), model.Close() })
	w := &workshop{runner: &countingRunner{model: model}}
	w.Builder = &variant.Builder{
		Model: model, Name: "tiny", Store: values, Leaser: values, Files: files, Runner: w.runner, Tool: "test",
		Log: options.Log, Scored: func(time.Duration) { w.passes++ }, Corrupt: func(store.Kind) { w.corrupt++ },
	}
	return w
}

func spec(ratio float64) variant.Spec {
	recipe := prune.DefaultRecipe()
	recipe.Tokens, recipe.Calibration = 6, "self"
	return variant.Spec{
		Ratio: ratio, Recipe: recipe, Calibration: variant.Calibration{Length: 3}, Budget: prune.Uniform,
		Reconstruct: true, FileType: convert.Keep,
	}
}

func (w *workshop) build(t *testing.T, s variant.Spec) variant.Built {
	t.Helper()
	built, err := w.Build(t.Context(), s, nil)
	if err != nil {
		t.Fatalf("Build(%+v) = %v", s, err)
	}
	return built
}

// All ratios share the same scores, which are computed once. The next process finds the built files.
func TestBuildComputesOnce(t *testing.T) {
	cache := t.TempDir()
	w := newWorkshop(t, cache)
	first := w.build(t, spec(0.2))
	if w.runner.calibrations != 1 || w.runner.scores != 1 || w.runner.refits != 1 || w.passes != 1 {
		t.Fatalf("first build: %+v, %d passes, want one of each", *w.runner, w.passes)
	}
	w.build(t, spec(0.1))
	if w.runner.calibrations != 1 || w.runner.scores != 1 || w.runner.refits != 2 {
		t.Errorf("second ratio: %+v, want a second refit and nothing else", *w.runner)
	}
	again := newWorkshop(t, cache)
	if built := again.build(t, spec(0.2)); built.Path != first.Path || built.Digest != first.Digest {
		t.Errorf("next process built %+v, want %+v", built, first)
	}
	if got := *again.runner; got.calibrations+got.scores+got.refits != 0 || again.passes != 0 {
		t.Errorf("next process computed %+v", *again.runner)
	}
}

// The builder does not store the results of a job that read a different file than the open one.
func TestBuildRefusesAReplacedModel(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	replace := func() {
		if err := tinymodel.Write(w.Model.Path()+".new", tinymodel.Options{FFN: []int{128, 128}, Seed: 7}); err != nil {
			t.Error(err)
		}
		if err := os.Rename(w.Model.Path()+".new", w.Model.Path()); err != nil {
			t.Error(err)
		}
	}
	w.runner.during = replace
	for range 2 { // the file is replaced during the job, then before Build
		if _, err := w.Build(t.Context(), spec(0.2), nil); !errors.Is(err, models.ErrChanged) {
			t.Fatalf("Build = %v, want ErrChanged", err)
		}
	}
	if w.runner.scores != 1 || w.passes != 0 {
		t.Errorf("%d score passes run and %d counted, want one that does not count", w.runner.scores, w.passes)
	}
	if _, err := w.Build(t.Context(), variant.Spec{FileType: convert.Keep}, nil); !errors.Is(err, models.ErrChanged) {
		t.Errorf("Build of the dense model = %v, want ErrChanged", err)
	}
}

// The builder assembles stored values with the open file even if its path has been deleted.
func TestBuildWithoutTheModelsName(t *testing.T) {
	cache := t.TempDir()
	w := newWorkshop(t, cache)
	want := read(t, w.build(t, spec(0.2)).Path)
	first := w.build(t, spec(0.2))
	if err := errors.Join(w.Files.(*disk.Files).Remove(t.Context(), first.Digest), os.Remove(w.Model.Path())); err != nil {
		t.Fatal(err)
	}
	if got := read(t, w.build(t, spec(0.2)).Path); got != want {
		t.Error("rebuilt file differs")
	}
	if _, err := w.Build(t.Context(), spec(0.1), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Build of a new ratio, for which a job opens the path, = %v", err)
	}
}

// Given an empty file cache, Build assembles the same bytes from stored values alone.
func TestAssembleFromStore(t *testing.T) {
	cache := t.TempDir()
	w := newWorkshop(t, cache)
	before := read(t, w.build(t, spec(0.2)).Path)
	if err := os.RemoveAll(filepath.Join(cache, "v1", "files")); err != nil {
		t.Fatal(err)
	}
	again := newWorkshop(t, cache)
	if after := read(t, again.build(t, spec(0.2)).Path); after != before {
		t.Error("file assembled from the store differs")
	}
	if again.runner.scores != 0 || again.runner.refits != 0 {
		t.Errorf("jobs computed %+v, want nothing", *again.runner)
	}
}

// The built file has the requested widths, refit and provenance.
func TestBuiltFile(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	built := w.build(t, spec(0.2))
	file, err := gguf.Open(built.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, ok := convert.ReadProvenance(file)
	if !ok || p.Ratio != 0.2 || !p.Reconstructed || p.SourceName != "tiny" || p.RatioReached != built.Reached {
		t.Errorf("provenance = %+v, want ratio 0.2, reconstructed, from tiny, reached %v", p, built.Reached)
	}
	slim, err := models.OpenGGUF(built.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer slim.Close()
	down, shape, err := slim.Tensor(models.FFNDown, 1)
	if err != nil || shape[1] != built.Widths[1] || down[3] != 3.0/8 {
		t.Errorf("down of layer 1: shape %v, value %v, %v; want width %d and the refit", shape, down[3], err, built.Widths[1])
	}
	if built.Name() != "tiny@0.2" || built.Parameters != slim.Config().Parameters(nil) {
		t.Errorf("built = %+v, want tiny@0.2 with %d parameters", built, slim.Config().Parameters(nil))
	}
	info, err := os.Stat(w.Model.Path())
	if err != nil {
		t.Fatal(err)
	}
	if built.DenseBytes != info.Size() || built.Larger() {
		t.Errorf("%d bytes of %d, larger: %v, want fewer than the %d of the file", built.Bytes, built.DenseBytes, built.Larger(), info.Size())
	}
	if built.DenseBytes = built.Bytes - 1; !built.Larger() {
		t.Error("Larger reports false for a variant with one byte more than its model")
	}
}

func TestDenseComputesNothing(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	if built := w.build(t, spec(0)); built.Path != w.Model.Path() || built.Name() != "tiny@0" {
		t.Errorf("dense = %+v, want the model's own file", built)
	}
	converted := spec(0)
	converted.FileType = "f16"
	built := w.build(t, converted)
	if built.Path == w.Model.Path() || built.Reached != 0 || w.runner.scores != 0 {
		t.Errorf("dense in f16 = %+v after %+v, want a new file and no scores", built, *w.runner)
	}
}

// Two ratios that keep the same neurons are the same variant.
func TestWidthsDecideIdentity(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	a, b := w.build(t, spec(0.2)), w.build(t, spec(0.2000001))
	if a.Digest != b.Digest || a.Path != b.Path || w.runner.refits != 1 {
		t.Errorf("digests %s and %s after %d refits, want equal digests and one refit", a.Digest, b.Digest, w.runner.refits)
	}
}

// The builder deletes, counts and recomputes a stored value that has a correct checksum but does not fit the model.
func TestMisfitIsMadeAnew(t *testing.T) {
	for _, kind := range []store.Kind{store.KindScores, store.KindDown, store.KindPlan, store.KindCalibration} {
		t.Run(string(kind), func(t *testing.T) {
			cache := t.TempDir()
			w := newWorkshop(t, cache)
			want := read(t, w.build(t, spec(0.2)).Path)
			digest, err := w.Model.Digest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			keys, err := w.Store.List(t.Context(), digest, kind)
			if err != nil || len(keys) != 1 {
				t.Fatalf("keys of kind %s = %v, %v, want one", kind, keys, err)
			}
			if err := w.Store.Put(t.Context(), keys[0], []byte("complete, but not valid")); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(cache, "v1", "files")); err != nil {
				t.Fatal(err)
			}
			again := newWorkshop(t, cache)
			if got := read(t, again.build(t, spec(0.2)).Path); got != want {
				t.Error("rebuilt file differs")
			}
			if counted := kind != store.KindCalibration; counted != (again.corrupt == 1) {
				t.Errorf("corrupt entries counted = %d", again.corrupt)
			}
		})
	}
}

// A stored refit with the right shape that contains NaN is recomputed too.
func TestStoredNaN(t *testing.T) {
	cache := t.TempDir()
	w := newWorkshop(t, cache)
	want := read(t, w.build(t, spec(0.2)).Path)
	digest, err := w.Model.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.Store.List(t.Context(), digest, store.KindDown)
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v, want one", keys, err)
	}
	value, err := w.Store.Get(t.Context(), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	value = append(value[:len(value)-4:len(value)-4], 0, 0, 0xc0, 0x7f)
	if err := w.Store.Put(t.Context(), keys[0], value); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(cache, "v1", "files")); err != nil {
		t.Fatal(err)
	}
	again := newWorkshop(t, cache)
	if got := read(t, again.build(t, spec(0.2)).Path); got != want || again.corrupt != 1 || again.runner.refits != 1 {
		t.Errorf("rebuilt file is the same: %t; %d corrupt entries and %d refits, want one of each", got == want, again.corrupt, again.runner.refits)
	}
}

func TestBuildErrors(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	var ratio *prune.RatioError
	if _, err := w.Build(t.Context(), spec(0.9), nil); !errors.As(err, &ratio) || w.runner.scores != 0 {
		t.Errorf("Build(0.9) = %v after %d scores, want a RatioError before any", err, w.runner.scores)
	}
	w.runner.fail = errors.New("worker died")
	if _, err := w.Build(t.Context(), spec(0.2), nil); !errors.Is(err, w.runner.fail) {
		t.Errorf("Build = %v, want the runner's error", err)
	}
	w.runner.fail = nil
	w.build(t, spec(0.2))
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
