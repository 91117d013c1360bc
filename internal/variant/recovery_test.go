package variant_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"prunellm/convert"
	"prunellm/internal/store"
	"prunellm/internal/tinymodel"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/prune"
	"prunellm/prune/recover"
)

// fakeTrainer sets every trained value to one half, or reports that training brought no gain.
type fakeTrainer struct {
	t     *testing.T
	model *models.GGUF
	runs  int
	gain  bool
}

func (f *fakeTrainer) Recover(_ context.Context, job variant.RecoveryJob, progress func(variant.Progress)) ([]byte, error) {
	f.runs++
	progress(variant.Progress{Stage: variant.StageRecovering, Done: 1, Total: 2})
	slim, err := job.Slim(f.model, convert.Codec{})
	if err != nil {
		return nil, err
	}
	result := &recover.Result{Before: recover.Figures{KL: 0.5, CrossEntropy: 3}, After: recover.Figures{KL: 0.5, CrossEntropy: 3}, Tokens: 64, Steps: 2}
	if f.gain {
		result.After.KL, result.Weights = 0.25, map[models.Slot][]float32{}
		for layer := range slim.Config().Layers {
			for _, role := range []models.Role{models.FFNGate, models.FFNUp, models.FFNDown} {
				values, _, err := slim.Tensor(role, layer)
				if err != nil {
					return nil, err
				}
				for i := range values {
					values[i] = 0.5
				}
				result.Weights[models.Slot{Role: role, Layer: layer}] = values
			}
		}
	}
	return variant.EncodeRecovered(f.model, job.Spec.FileType, slim.Config(), result, convert.Codec{})
}

// The file contains the trained weights. They are trained once, and the next process finds them in the store. If the
// stored value is damaged, they are trained again.
func TestRecover(t *testing.T) {
	cache := t.TempDir()
	w := newWorkshop(t, cache)
	trainer := &fakeTrainer{t: t, model: w.Model, gain: true}
	recovery := variant.Recovery{Train: recover.MLP, Tokens: 64, Source: "self"}
	if _, _, err := w.FindRecovered(t.Context(), spec(0.2), recovery, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("FindRecovered before training = %v, want ErrNotFound", err)
	}
	base := w.build(t, spec(0.2))
	built, report, err := w.Recover(t.Context(), spec(0.2), recovery, trainer, nil)
	if err != nil || !report.Better || built.Recovery == nil || built.Digest == base.Digest || built.Reached != base.Reached {
		t.Fatalf("Recover = %+v, %+v, %v, want a new file with the same widths", built, report, err)
	}
	slim, err := models.OpenGGUF(built.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	values, _, err := slim.Tensor(models.FFNUp, 1)
	if err != nil || values[0] != 0.5 || values[len(values)-1] != 0.5 {
		t.Errorf("trained weights are not in the file: %v, %v", values[0], err)
	}
	if err := slim.Close(); err != nil {
		t.Fatal(err)
	}
	again := newWorkshop(t, cache)
	found, _, err := again.FindRecovered(t.Context(), spec(0.2), recovery, nil)
	if err != nil || found.Digest != built.Digest || trainer.runs != 1 {
		t.Errorf("FindRecovered = %+v, %v after %d trainings, want the same file after one", found, err, trainer.runs)
	}
	other := recovery
	other.Tokens++
	if _, _, err := again.Recover(t.Context(), spec(0.2), other, trainer, nil); err != nil || trainer.runs != 2 {
		t.Errorf("another recovery: %v after %d trainings, want two", err, trainer.runs)
	}

	digest, err := w.Model.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.Store.List(t.Context(), digest, store.KindRecovered)
	if err != nil || len(keys) != 2 {
		t.Fatalf("stored recoveries are %v, %v, want two", keys, err)
	}
	for _, key := range keys {
		if err := w.Store.Put(t.Context(), key, []byte("not a file")); err != nil {
			t.Fatal(err)
		}
	}
	mended, _, err := again.Recover(t.Context(), spec(0.2), recovery, trainer, nil)
	if err != nil || mended.Digest != built.Digest || trainer.runs != 3 || again.corrupt != 1 {
		t.Errorf("after damage: %+v, %v after %d trainings and %d corrupt, want the same file trained again", mended, err, trainer.runs, again.corrupt)
	}
}

// If training brings no gain, Recover returns the variant that Build makes, and training does not run again.
func TestRecoverWithoutGain(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	trainer := &fakeTrainer{t: t, model: w.Model}
	base := w.build(t, spec(0.2))
	for range 2 {
		built, report, err := w.Recover(t.Context(), spec(0.2), variant.Recovery{Train: recover.MLP, Duration: time.Minute}, trainer, nil)
		if err != nil || report.Better || built.Digest != base.Digest || built.Recovery != nil {
			t.Errorf("Recover = %+v, %+v, %v, want the untrained variant", built, report, err)
		}
	}
	if trainer.runs != 1 {
		t.Errorf("%d trainings, want one", trainer.runs)
	}
	if _, _, err := w.Recover(t.Context(), spec(0), variant.Recovery{}, trainer, nil); !errors.Is(err, variant.ErrNotRecovered) {
		t.Errorf("Recover at ratio 0 = %v, want ErrNotRecovered", err)
	}
}

func FuzzDecodeRecovered(f *testing.F) {
	model := tinymodel.Open(f, tinymodel.Options{FFN: []int{64, 64}})
	plan := &prune.Plan{Dense: []int{64, 64}, Kept: [][]int{make([]int, 32), make([]int, 32)}}
	for i := range 32 {
		plan.Kept[0][i], plan.Kept[1][i] = i, i
	}
	slim := model.Config()
	slim.FFN = plan.Widths()
	random := rand.New(rand.NewPCG(1, 1))
	values := make([]float32, 32*slim.HiddenSize)
	for i := range values {
		values[i] = random.Float32()
	}
	result := &recover.Result{Before: recover.Figures{KL: 2}, After: recover.Figures{KL: 1},
		Weights: map[models.Slot][]float32{{Role: models.FFNUp, Layer: 1}: values}}
	value, err := variant.EncodeRecovered(model, convert.Keep, slim, result, convert.Codec{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add(value[:len(value)/2])
	f.Fuzz(func(t *testing.T, value []byte) {
		report, err := variant.CheckRecovered(value, model, convert.Keep, plan, convert.Codec{})
		weights, decodeErr := variant.DecodeRecovered(value, model, convert.Keep, plan, convert.Codec{})
		if err != nil && decodeErr == nil {
			t.Errorf("DecodeRecovered accepts a value that CheckRecovered rejects: %v", err)
		}
		if err == nil && report.Better && decodeErr == nil && len(weights) == 0 {
			t.Error("CheckRecovered accepts a better report without weights")
		}
	})
}
