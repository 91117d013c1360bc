package prune

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// ReconstructOptions tune Reconstruct. The zero value is the default.
type ReconstructOptions struct {
	// Ridge times the mean of the diagonal of the activations' Gram matrix pulls the refitted weights towards the old
	// ones. 0 has a part of the sequences choose it.
	Ridge float64
	// Emit, when set, is given each layer's result as soon as it is there, from the first to the last; Reconstruct then
	// keeps none and returns nil, so that the memory it takes does not grow with the model's depth.
	Emit func(layer int, down []float32) error
	// Precision is that of products in the forward passes, the recipe's; the sums of the fit are not rounded.
	Precision llama.Precision
	// Hidden, when it is of the same sequences, saves the dense model's forward pass. Its states are freed as they are used.
	Hidden *Hidden
	// States, when set, is where the states are kept for later refits on these sequences, and looked for where Hidden has none.
	States *StateFile
	// Log is told when States could not be read or written; nil: nobody is.
	Log *slog.Logger
}

// Validate reports an option that is out of range.
func (o ReconstructOptions) Validate() error {
	if !(o.Ridge >= 0 && o.Ridge <= 100) {
		return fmt.Errorf("ridge is %g, want 0 (default) to 100", o.Ridge)
	}
	return nil
}

// Reconstruct refits the down projection of every layer to the neurons that a plan keeps, so that the pruned layer
// gives again what the dense one gave. It returns float32[layers][hidden*width], rows of length width, as
// models.FFNDown has them.
//
// Layers are refitted from the first that loses neurons to the last, each on the activations h of the pruned model as it then
// is, so later layers also mend what earlier ones lost. With y what the layer should add to the residual stream,
// W' = (sum y h^T + mu W) (sum h h^T + mu I)^-1.
func Reconstruct(ctx context.Context, backend backends.Backend, weights models.Weights, plan *Plan, sequences [][]int32,
	opts ReconstructOptions, progress func(Progress)) (down [][]float32, err error) {
	defer llama.Guard(&err)
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if err := checkSequences(weights.Config(), sequences); err != nil {
		return nil, err
	}
	total := 0
	for _, tokens := range sequences {
		total += len(tokens)
	}
	r, err := newReconstructor(backend, weights, plan, sequences, opts)
	if err != nil {
		return nil, err
	}
	defer r.close()
	r.takeStates(ctx)
	if r.tokens, r.chosen = total, opts.Ridge; opts.Ridge == 0 {
		r.chosen = DefaultRidge(total)
	}
	r.meter = newMeter("reconstruct", total, weights.Config().Layers, progress)
	if down, err = r.run(ctx); err == nil && r.collected != nil {
		r.saveStates(ctx, r.collected, nil)
	}
	if err == nil {
		r.keeping.Wait()
	}
	return down, err
}

// reconstructor refits layer after layer. Two streams run side by side: the dense model's hidden states and the pruned
// model's. It belongs to one goroutine.
type reconstructor struct {
	opts      ReconstructOptions
	plan      *Plan
	sequences [][]int32
	weights   models.Weights
	slim      models.Weights
	dense     *llama.Model
	pruned    *llama.Model
	solver    *solver
	chooser   ridgeChooser
	meter     *meter
	budget    llama.Budget
	tokens    int     // of all sequences
	first     int     // the first layer that loses neurons
	chosen    float64 // the ridge that was chosen last
	precision llama.Precision

	hidden    *Hidden // the dense model's results of each layer; nil: they are computed
	stored    *Hidden // the same, if they were read here
	collected *Hidden // takes what is computed, to be kept for later; nil: it is not wanted

	// While the states that were given are being written to a file, beside the first layers.
	keeping     sync.WaitGroup
	stopKeeping context.CancelFunc
	kept        []chan struct{} // by layer, closed when its states may go; nil: nothing is written

	densePass *llama.LayerProgram // x -> out float32[t, e]
	// Of any number of sequences of equal length, x float32[t, e] each:
	slimPass *llama.LayerProgram // -> mid of each, float32[t, e], h of each, float32[t, f]
	gram     *Exec               // G, C and any number of h, mid, out, count -> G', C'
	ridge    *Exec               // ridgeSystem
	apply    *Exec               // mid, h, W -> out float32[t, e]

	denseStates, slimStates llama.States
}

func newReconstructor(backend backends.Backend, weights models.Weights, plan *Plan, sequences [][]int32,
	opts ReconstructOptions) (r *reconstructor, err error) {
	r = &reconstructor{
		opts: opts, plan: plan, sequences: sequences, weights: weights, budget: llama.BudgetOf(backend), first: plan.untouched(),
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.slim, err = Pruned(weights, plan, nil); err != nil {
		return nil, err
	}
	if r.dense, err = llama.New(backend, weights.Config()); err != nil {
		return nil, err
	}
	r.precision = opts.Precision.On(backend, false)
	if r.pruned, err = llama.New(backend, r.slim.Config()); err != nil {
		return nil, err
	}
	if r.solver, err = newSolver(r.pruned); err != nil {
		return nil, err
	}
	if r.chooser, err = newRidgeChooser(r.pruned); err != nil {
		return nil, err
	}
	if err = r.compile(); err != nil {
		return nil, err
	}
	head, err := r.dense.LoadHead(weights, llama.Float32)
	if err != nil {
		return nil, err
	}
	defer head.Release()
	if r.denseStates, err = llama.NewStates(r.dense, head, sequences); err != nil {
		return nil, err
	}
	r.slimStates, err = llama.NewStates(r.dense, head, sequences)
	return r, err
}

// compile makes the programs.
func (r *reconstructor) compile() (err error) {
	c := r.dense.Config()
	r.densePass, err = r.dense.LayerProgram("dense", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		return []*Node{llama.Forward(c, b, rope, args[0]).Out}
	})
	if err != nil {
		return err
	}
	r.slimPass, err = r.pruned.LayerProgram("slim", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		trace := llama.Forward(c, b, rope, llama.JoinSequences(args))
		return append(llama.SplitSequences(trace.Mid, len(args)), llama.SplitSequences(trace.Activation, len(args))...)
	})
	if err != nil {
		return err
	}
	r.gram, err = r.pruned.Compile("gram", func(args []*Node) []*Node {
		gram, cross := args[0], args[1]
		var all, targets []*Node
		for rest := args[2:]; len(rest) > 0; rest = rest[4:] {
			h, mid, out, length := rest[0], rest[1], rest[2], rest[3]
			token := Iota(h.Graph(), h.Shape(), 0)
			all = append(all, Where(LessThan(token, length), h, ZerosLike(h))) // padding must not count
			targets = append(targets, Sub(out, mid))
		}
		h, target := Concatenate(all, 0), Concatenate(targets, 0)
		if r.budget.Doubles {
			h, target = ConvertDType(h, dtypes.Float64), ConvertDType(target, dtypes.Float64)
		}
		gram = Add(gram, ConvertDType(Einsum("tf,tg->fg", h, h), dtypes.Float64))
		return []*Node{gram, Add(cross, ConvertDType(Einsum("tf,te->fe", h, target), dtypes.Float64))}
	})
	if err != nil {
		return err
	}
	if r.ridge, err = r.pruned.Compile("ridge", ridgeSystem); err != nil {
		return err
	}
	r.apply, err = r.pruned.Compile("apply", func(args []*Node) []*Node {
		return []*Node{Add(args[0], Einsum("tf,fe->te", args[1], args[2]))}
	})
	return err
}

func (r *reconstructor) close() {
	if r.stopKeeping != nil {
		r.stopKeeping()
		r.keeping.Wait()
	}
	r.stored.Release()
	r.collected.Release() // frees what denseStates may still name
	r.denseStates.Release()
	r.slimStates.Release()
	for _, m := range []*llama.Model{r.dense, r.pruned} {
		if m != nil {
			m.Close()
		}
	}
}

// run refits all layers.
func (r *reconstructor) run(ctx context.Context) (down [][]float32, err error) {
	give := func(layer int, refitted []float32) error {
		if r.opts.Emit != nil {
			return r.opts.Emit(layer, refitted)
		}
		down = append(down, refitted)
		return nil
	}
	if err := r.passOver(ctx, give); err != nil {
		return nil, err
	}
	order, options := llama.Ascending(r.dense.Config().Layers)[r.first:], r.slimOptions()
	fit := func(dense, slim *llama.Layer) error {
		refitted, err := r.layer(ctx, dense, slim)
		if err != nil {
			return fmt.Errorf("reconstruct layer %d: %w", slim.Index, err)
		}
		return give(slim.Index, refitted)
	}
	if r.hidden != nil {
		err = r.pruned.EachLayer(ctx, r.slim, order, options, func(slim *llama.Layer) error { return fit(nil, slim) })
		return down, err
	}
	err = r.dense.EachLayer(ctx, r.weights, order, r.denseOptions, func(dense *llama.Layer) error {
		slim, err := r.pruned.LoadLayer(r.slim, dense.Index, options(dense.Index))
		if err != nil {
			return err
		}
		defer slim.Release()
		return fit(dense, slim)
	})
	return down, err
}

// slimOptions says how the layers that are refitted are loaded.
func (r *reconstructor) slimOptions() func(layer int) llama.LayerOptions {
	widths := r.plan.Widths()[r.first:]
	padded := padWidths(widths, r.dense.Config().HiddenSize, r.tokens)
	if r.budget.Workers > 1 { // products are cheap there, and compiling is dear
		padded = slices.Repeat([]int{slices.Max(append(padded, 0))}, len(widths))
	}
	// The down projection itself is what is fitted, and its products are not computed before.
	narrow := slices.DeleteFunc(slices.Clone(r.precision.Narrow()), func(role models.Role) bool { return role == models.FFNDown })
	return func(layer int) llama.LayerOptions {
		return llama.LayerOptions{PadFFN: padded[layer-r.first], Narrow: narrow}
	}
}

// layer moves both streams through one layer and refits its down projection in between, float32[hidden*width]. dense is nil where the
// dense stream is known.
func (r *reconstructor) layer(ctx context.Context, dense, slim *llama.Layer) (down []float32, err error) {
	mids, activations := make(llama.States, len(r.sequences)), make(llama.States, len(r.sequences))
	defer mids.Release()
	defer activations.Release()
	fit, err := newSums(r.pruned, slim.Width)
	if err != nil {
		return nil, err
	}
	defer fit.release()
	held := fit
	if r.chooses(slim.Index) {
		if held, err = newSums(r.pruned, slim.Width); err != nil {
			return nil, err
		}
		defer held.release()
	}
	if r.hidden != nil {
		r.denseStates.Release()
		if r.denseStates, err = r.statesOf(slim.Index); err != nil {
			return nil, err
		}
	}
	for _, of := range batchSequences(r.sequences, r.budget.Together) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.forward(dense, slim, of, mids[of.from:of.to], activations[of.from:of.to]); err != nil {
			return nil, err
		}
		for i := of.from; i < of.to; i++ {
			into := fit
			if heldOut(i) {
				into = held
			}
			if err := r.sum(into, i, mids[i], activations[i]); err != nil {
				return nil, err
			}
		}
		r.meter.add(of.tokens(r.sequences))
	}
	for _, s := range []*sums{fit, held} {
		if err := r.flush(s); err != nil {
			return nil, err
		}
	}
	if held != fit {
		if err := r.chooseRidge(ctx, slim.Index, fit, held, slim.Down()); err != nil {
			return nil, err
		}
	}
	refitted, err := r.refit(slim.Index, r.chosen, fit, slim.Down())
	if err != nil {
		return nil, err
	}
	defer llama.Release(refitted)
	return r.adopt(slim.Index, refitted, mids, activations)
}

// sum adds a sequence to a layer's least-squares sums, with those before it once they are sumTokens together.
func (r *reconstructor) sum(s *sums, i int, mid, activation *tensors.Tensor) error {
	s.waiting = append(s.waiting, activation, mid, r.denseStates[i], float32(len(r.sequences[i])))
	if s.tokens += len(r.sequences[i]); s.tokens < sumTokens {
		return nil
	}
	return r.flush(s)
}

// flush adds the sequences that wait.
func (r *reconstructor) flush(s *sums) error {
	if len(s.waiting) == 0 {
		return nil
	}
	next, err := r.gram.Exec(append([]any{s.gram, s.cross}, s.waiting...)...)
	if err != nil {
		return err
	}
	s.replace(next)
	s.waiting, s.tokens = nil, 0
	return nil
}

// refit solves for the new down projection, float32[f, e] on the device. The ridge is in terms of the mean of the Gram
// matrix' diagonal.
func (r *reconstructor) refit(layer int, ridge float64, s *sums, old *tensors.Tensor) (*tensors.Tensor, error) {
	system, err := r.ridge.Exec(s.gram, s.cross, old, ridge/float64(len(r.plan.Kept[layer])))
	if err != nil {
		return nil, err
	}
	defer llama.Release(system...)
	return r.solver.solve(system[0], system[1])
}
