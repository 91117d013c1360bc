package recover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// ErrTooLittle is wrapped if there are too few sequences to hold some out and train on the others.
var ErrTooLittle = errors.New("too little text to train on")

// returnEvery is the number of steps after which free memory is returned to the system.
const returnEvery = 4

// divergence ends a training whose held-out KL exceeds this multiple of the first one.
const divergence = 2

// Progress reports the state of a running training.
type Progress struct {
	Done    float64       // share of the training, in [0,1]
	Step    int           // sequences trained on
	Tokens  int           // tokens trained on
	Elapsed time.Duration // working time
	Loss    Figures       // of the last sequence trained on
	HeldOut Figures       // of the last evaluation
}

// Result is the outcome of a training.
type Result struct {
	Before  Figures       `json:"before"` // held out, of the pruned model before training
	After   Figures       `json:"after"`  // held out, of Weights
	Steps   int           `json:"steps"`
	Tokens  int           `json:"tokens"`
	Elapsed time.Duration `json:"elapsed"`
	Curve   []Point       `json:"curve"`             // all evaluations
	Stopped string        `json:"stopped,omitempty"` // reason for an early end
	// Weights are the best trained weights, in the form of models.Weights; nil if none are better than those before
	// training.
	Weights map[models.Slot][]float32 `json:"-"`
}

// Point is one evaluation on the held-out sequences.
type Point struct {
	Tokens  int           `json:"tokens"`
	Elapsed time.Duration `json:"elapsed"`
	Figures
}

// Better reports whether training improved the model.
func (r *Result) Better() bool { return r.Weights != nil }

// Run trains slim, a pruned form of dense, on sequences of tokens. progress may be nil.
func Run(ctx context.Context, backend backends.Backend, dense, slim models.Weights, sequences [][]int32, options Options,
	progress func(Progress)) (result *Result, err error) {
	defer llama.Guard(&err)
	if err := options.Validate(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	if err := check(dense.Config(), slim.Config(), sequences); err != nil {
		return nil, err
	}
	t, err := newTrainer(backend, dense, slim, sequences, options, progress)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if err := t.resume(); err != nil {
		return nil, err
	}
	if err := t.run(ctx); err != nil {
		return nil, err
	}
	result = &t.saved.Result
	result.Elapsed = t.elapsed()
	if result.After.KL < result.Before.KL {
		result.Weights = t.best
	}
	return result, nil
}

func check(dense, slim models.Config, sequences [][]int32) error {
	if len(sequences) < minSequences {
		return fmt.Errorf("%w: %d sequences; at least %d are needed", ErrTooLittle, len(sequences), minSequences)
	}
	if dense.Layers != slim.Layers || dense.HiddenSize != slim.HiddenSize || dense.VocabSize != slim.VocabSize {
		return errors.New("recover: the pruned model was not made from this dense model")
	}
	for i, tokens := range sequences {
		if len(tokens) < 2 || len(tokens) > prune.MaxSequence {
			return fmt.Errorf("training sequence %d: %w: it has %d tokens but must have 2 to %d", i, llama.ErrTokens, len(tokens), prune.MaxSequence)
		}
		if err := llama.CheckTokens(dense, tokens); err != nil {
			return fmt.Errorf("training sequence %d: %w", i, err)
		}
	}
	return nil
}

// trainer is one Run. It belongs to one goroutine.
type trainer struct {
	options  Options
	student  *student
	teacher  *teacher
	loss     *lossHead
	all      [][]int32
	heldOut  []int // sequences held out
	training int   // sequences [0, training) are trained on
	identity string
	progress func(Progress)

	saved     saved
	best      map[models.Slot][]float32
	bestSaved bool // the best weights are on disk

	began, checkpointed time.Time
	full                bool // the last checkpoint could not be written
}

// saved is a checkpoint's content besides weights and moments.
type saved struct {
	Result
	Identity    string        `json:"identity"`
	Worked      time.Duration `json:"worked"`      // in earlier processes
	Evaluations int           `json:"evaluations"` // number done, including the first one
}

func newTrainer(backend backends.Backend, dense, slim models.Weights, sequences [][]int32, options Options, progress func(Progress)) (
	t *trainer, err error) {
	t = &trainer{options: options, all: sequences, progress: progress}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	held := options.HeldOut
	if held == 0 {
		held = min(max(len(sequences)/10, 1), 8)
	}
	t.training = max(len(sequences)-held, 1)
	for i := t.training; i < len(sequences); i++ {
		t.heldOut = append(t.heldOut, i)
	}
	if len(t.heldOut) == 0 {
		return t, fmt.Errorf("%w: no sequence is left to hold out", ErrTooLittle)
	}
	if t.identity, err = identify(options, slim.Config(), sequences); err != nil {
		return t, err
	}
	if t.student, err = newStudent(backend, slim, t.options); err != nil {
		return t, err
	}
	if t.teacher, err = newTeacher(backend, dense, t.student, sequences); err != nil {
		return t, err
	}
	t.loss, err = newLossHead(t.student.model, t.student.head, options.CrossEntropy)
	return t, err
}

func (t *trainer) close() {
	if t.teacher != nil {
		t.teacher.close()
	}
	if t.student != nil {
		t.student.close()
	}
}

// elapsed returns the working time so far.
func (t *trainer) elapsed() time.Duration {
	return t.saved.Worked + t.options.Now().Sub(t.began)
}

// done returns the completed share of the training.
func (t *trainer) done() float64 {
	share := 0.0
	if t.options.Tokens > 0 {
		share = float64(t.saved.Tokens) / float64(t.options.Tokens)
	}
	if t.options.Duration > 0 {
		share = max(share, float64(t.elapsed())/float64(t.options.Duration))
	}
	return min(share, 1)
}

// run trains from the saved state to the end.
func (t *trainer) run(ctx context.Context) error {
	t.began = t.options.Now()
	t.checkpointed = t.began
	for {
		done := t.done()
		if done*float64(t.options.Evaluations) >= float64(t.saved.Evaluations) {
			if err := t.evaluate(ctx); err != nil {
				return err
			}
			t.options.ReturnMemory()
			// Skip evaluations that became due during a slow step.
			t.saved.Evaluations = max(t.saved.Evaluations, int(done*float64(t.options.Evaluations))) + 1
		}
		if done >= 1 || t.saved.Stopped != "" {
			return nil
		}
		if err := t.checkpoint(ctx); err != nil {
			return err
		}
		if err := t.step(ctx, done); err != nil {
			return err
		}
	}
}

// upcoming returns the sequences in training order, from a step to the end of its epoch.
func (t *trainer) upcoming(step int) []int {
	return t.options.order(t.training, step/t.training)[step%t.training:]
}

// step trains on one sequence.
func (t *trainer) step(ctx context.Context, done float64) error {
	next := t.upcoming(t.saved.Steps)
	teacher, err := t.teacher.hidden(ctx, next)
	if err != nil {
		return err
	}
	tokens := t.all[next[0]]
	left, err := t.student.run(ctx, tokens)
	defer left.release()
	if err != nil {
		return err
	}
	last, err := llama.Download[float32](left.inputs[len(left.inputs)-1])
	if err != nil {
		return err
	}
	figures, gradient, err := t.loss.run(tokens, last, teacher, true)
	if err != nil {
		return err
	}
	if !figures.finite() {
		t.saved.Stopped = fmt.Sprintf("the loss of step %d is not a finite number", t.saved.Steps+1)
		return nil
	}
	rate := t.options.rateAt(done)
	if err := t.student.train(ctx, left, gradient, rates(rate, t.saved.Steps+1)); err != nil {
		return err
	}
	t.saved.Steps++
	t.saved.Tokens += len(tokens)
	if t.saved.Steps%returnEvery == 0 {
		t.options.ReturnMemory()
	}
	t.options.Log.Debug("recovery step", "step", t.saved.Steps, "kl", figures.KL, "cross_entropy", figures.CrossEntropy, "learning_rate", rate)
	t.report(figures)
	return nil
}

func (t *trainer) report(loss Figures) {
	if t.progress == nil {
		return
	}
	t.progress(Progress{
		Done: t.done(), Step: t.saved.Steps, Tokens: t.saved.Tokens, Elapsed: t.elapsed(), Loss: loss,
		HeldOut: t.saved.Curve[len(t.saved.Curve)-1].Figures,
	})
}

// evaluate measures the held-out sequences on rounded weights, and keeps the weights if they are the best so far.
func (t *trainer) evaluate(ctx context.Context) error {
	weights, figures, err := t.measure(ctx)
	if err != nil {
		return err
	}
	first := len(t.saved.Curve) == 0
	t.saved.Curve = append(t.saved.Curve, Point{t.saved.Tokens, t.elapsed(), figures})
	t.options.Log.Info("recovery evaluated", "tokens", t.saved.Tokens, "seconds", t.elapsed().Seconds(), "kl", figures.KL,
		"perplexity", figures.Perplexity())
	switch {
	case first && !figures.finite():
		return fmt.Errorf("evaluate the pruned model: %w", prune.ErrNotFinite)
	case first:
		t.saved.Before, t.saved.After = figures, figures
	case !figures.finite() || figures.KL > divergence*t.saved.Before.KL:
		t.saved.Stopped = fmt.Sprintf("the training diverges: held-out KL is %.3f after %d tokens, %.3f before", figures.KL,
			t.saved.Tokens, t.saved.Before.KL)
	case figures.KL < t.saved.After.KL:
		t.saved.After, t.best, t.bestSaved = figures, weights, false
	}
	return nil
}

// measure returns the student's weights and the loss of the held-out sequences with rounded weights.
func (t *trainer) measure(ctx context.Context) (map[models.Slot][]float32, Figures, error) {
	weights, figures := map[models.Slot][]float32{}, Figures{}
	sequences := make([][]int32, len(t.heldOut))
	for i, at := range t.heldOut {
		sequences[i] = t.all[at]
	}
	states, err := llama.NewStates(t.student.model, t.student.head, sequences)
	if err != nil {
		return nil, figures, err
	}
	defer states.Release()
	for _, layer := range t.student.layers {
		if err := t.measureLayer(ctx, layer, weights, states); err != nil {
			return nil, figures, fmt.Errorf("evaluate layer %d: %w", layer.Index, err)
		}
	}
	hidden, err := states.Download(t.student.model.Config(), sequences)
	if err != nil {
		return nil, figures, err
	}
	for i, tokens := range sequences {
		teacher, err := t.teacher.hidden(ctx, t.heldOut[i:])
		if err != nil {
			return nil, figures, err
		}
		f, _, err := t.loss.run(tokens, hidden[i], teacher, false)
		if err != nil {
			return nil, figures, err
		}
		figures.KL += f.KL / float64(len(sequences))
		figures.CrossEntropy += f.CrossEntropy / float64(len(sequences))
	}
	return weights, figures, nil
}

// measureLayer runs the states through one layer with rounded weights, and records the unrounded weights.
func (t *trainer) measureLayer(ctx context.Context, layer *llama.Layer, weights map[models.Slot][]float32, states llama.States) error {
	m, c := t.student.model, t.student.model.Config()
	trained, err := t.student.weights(layer.Index)
	if err != nil {
		return err
	}
	rounded := map[models.Role]*tensors.Tensor{}
	defer func() {
		for _, tensor := range rounded {
			llama.Release(tensor)
		}
	}()
	for _, role := range t.student.roles {
		values := trained[role]
		weights[models.Slot{Role: role, Layer: layer.Index}] = values
		shape := c.TensorShape(role, layer.Index)
		if values = slices.Clone(values); t.options.Round != nil {
			if values, err = t.options.Round(role, layer.Index, values, shape[len(shape)-1]); err != nil {
				return err
			}
		}
		values = m.GraphValues(layer.Index, role, values, llama.LayerOptions{PadFFN: ffnPadding})
		if rounded[role], err = m.Upload(values, m.Weight(layer, role).Shape().Dimensions...); err != nil {
			return err
		}
	}
	borrowed := m.With(layer, rounded)
	for i, x := range states {
		if err := ctx.Err(); err != nil {
			return err
		}
		results, err := t.student.plain.Run(borrowed, x)
		if err != nil {
			return err
		}
		states.Replace(i, results[0])
	}
	return nil
}
