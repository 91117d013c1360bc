package recover

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/models/safetensors"
)

// The files of a checkpoint. Both are safetensors; the state's metadata holds a JSON object under stateKey. save writes
// the best weights first, so a state never refers to best weights that are missing.
const (
	stateFile = "state.safetensors"
	bestFile  = "best.safetensors"
	stateKey  = "recovery"
)

// checkpointVersion changes whenever old checkpoints cannot be resumed.
const checkpointVersion = 1

// identify returns a digest of everything that determines a training's result.
func identify(o Options, slim models.Config, sequences [][]int32) (string, error) {
	hash := sha256.New()
	err := json.NewEncoder(hash).Encode([]any{
		checkpointVersion, o.Identity, o.Train, o.Tokens, o.Duration, o.LearningRate, o.Warmup, o.FinalRate, o.WeightDecay, o.Clip,
		o.CrossEntropy, o.Rank, o.Alpha, o.Seed, o.HeldOut, o.Evaluations, slim.FFN, sequences,
	})
	return hex.EncodeToString(hash.Sum(nil)), err
}

// checkpoint saves the training if a checkpoint is due. A write error is logged, and the training continues.
func (t *trainer) checkpoint(ctx context.Context) error {
	now := t.options.Now()
	if t.options.Folder == "" || now.Sub(t.checkpointed) < t.options.Checkpoint {
		return nil
	}
	t.checkpointed = now
	err := t.save(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !t.full {
		t.options.Log.Warn("cannot write recovery checkpoint; training continues without it", "error", err)
	}
	t.full = err != nil
	return nil
}

// save writes the checkpoint.
func (t *trainer) save(ctx context.Context) error {
	if err := os.MkdirAll(t.options.Folder, 0o700); err != nil {
		return fmt.Errorf("make checkpoint folder: %w", err)
	}
	if t.best != nil && !t.bestSaved {
		var best []safetensors.Tensor
		for slot, values := range t.best {
			best = append(best, safetensors.Tensor{Name: slot.Name(), Shape: t.student.model.Config().TensorShape(slot.Role, slot.Layer), Values: values})
		}
		if err := safetensors.WriteFile(ctx, filepath.Join(t.options.Folder, bestFile), best, map[string]string{stateKey: t.identity}); err != nil {
			return err
		}
		t.bestSaved = true
	}
	state := t.saved
	state.Identity, state.Worked = t.identity, t.elapsed()
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	var sources []safetensors.Source
	t.student.each(func(name string, tensor **tensors.Tensor) {
		sources = append(sources, safetensors.Source{
			Name: name, DType: safetensors.F32, Shape: (*tensor).Shape().Dimensions,
			Write: func(_ context.Context, w io.Writer) error { return writeTensor(w, *tensor) },
		})
	})
	return safetensors.Write(ctx, filepath.Join(t.options.Folder, stateFile), sources, map[string]string{stateKey: string(text)})
}

func writeTensor(w io.Writer, tensor *tensors.Tensor) error {
	values, err := llama.Download[float32](tensor)
	if err != nil {
		return err
	}
	return binary.Write(w, binary.LittleEndian, values)
}

// resume continues from the folder's checkpoint if it belongs to this training. It logs and ignores a damaged one.
func (t *trainer) resume() error {
	if t.options.Folder == "" {
		return nil
	}
	file, err := safetensors.Open(filepath.Join(t.options.Folder, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = t.load(file)
		err = errors.Join(err, file.Close())
	}
	var partial *partialError
	switch {
	case errors.As(err, &partial):
		return fmt.Errorf("resume from %q: %w; remove the folder to start again", t.options.Folder, err)
	case err != nil:
		t.options.Log.Warn("recovery checkpoint is unusable; starting again", "path", t.options.Folder, "error", err)
		t.saved, t.best = saved{}, nil
	case t.saved.Steps > 0:
		t.options.Log.Info("recovery resumes from its checkpoint", "path", t.options.Folder, "tokens", t.saved.Tokens)
	}
	return nil
}

// partialError is an error that leaves the student with a part of the saved state.
type partialError struct{ error }

func (e *partialError) Unwrap() error { return e.error }

// errOther reports a checkpoint that belongs to another training.
var errOther = errors.New("the checkpoint belongs to another training")

// load reads a checkpoint. It checks the whole file before it changes the student.
func (t *trainer) load(file *safetensors.File) error {
	var state saved
	decoder := json.NewDecoder(bytes.NewReader([]byte(file.Metadata[stateKey])))
	if err := decoder.Decode(&state); err != nil {
		return fmt.Errorf("read its description: %w", err)
	}
	if state.Identity != t.identity {
		return errOther
	}
	if state.Steps < 0 || state.Tokens < 0 || state.Worked < 0 || (state.Steps == 0) != (state.Tokens == 0) || len(state.Curve) == 0 || state.Evaluations < len(state.Curve) {
		return errors.New("its description is not valid")
	}
	var fault error
	t.student.each(func(name string, tensor **tensors.Tensor) {
		info, err := file.Tensor(name)
		if err == nil && (info.DType != safetensors.F32 || info.Size != int64(4*(*tensor).Size())) {
			err = fmt.Errorf("tensor %q has %d bytes of %s instead of %d values", name, info.Size, info.DType, (*tensor).Size())
		}
		fault = errors.Join(fault, err)
	})
	if fault != nil {
		return fault
	}
	var best map[models.Slot][]float32
	if state.After.KL < state.Before.KL {
		var err error
		if best, err = t.loadBest(); err != nil {
			return err
		}
	}
	t.student.each(func(name string, tensor **tensors.Tensor) {
		values, _, err := file.Float32s(name)
		if err == nil {
			var loaded *tensors.Tensor
			if loaded, err = t.student.model.Upload(values, (*tensor).Shape().Dimensions...); err == nil {
				llama.Release(*tensor)
				*tensor = loaded
			}
		}
		fault = errors.Join(fault, err)
	})
	t.student.settle()
	if fault != nil {
		return &partialError{fault}
	}
	t.saved, t.best, t.bestSaved = state, best, best != nil
	return nil
}

func (t *trainer) loadBest() (map[models.Slot][]float32, error) {
	all, metadata, err := safetensors.ReadFile(filepath.Join(t.options.Folder, bestFile))
	if err != nil {
		return nil, err
	}
	if metadata[stateKey] != t.identity {
		return nil, errOther
	}
	byName := map[string][]float32{}
	for _, tensor := range all {
		byName[tensor.Name] = tensor.Values
	}
	best := map[models.Slot][]float32{}
	c := t.student.model.Config()
	for layer := range c.Layers {
		for _, role := range t.student.roles {
			slot := models.Slot{Role: role, Layer: layer}
			size := 1
			for _, d := range c.TensorShape(role, layer) {
				size *= d
			}
			if best[slot] = byName[slot.Name()]; len(best[slot]) != size {
				return nil, fmt.Errorf("best weights: tensor %q has %d values instead of %d", slot.Name(), len(best[slot]), size)
			}
		}
	}
	return best, nil
}
