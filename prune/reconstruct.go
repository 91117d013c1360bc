package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// ReconstructOptions tune Reconstruct. The zero value is the default.
type ReconstructOptions struct {
	// Ridge is the strength of the pull towards the old weights, as a multiple of the mean of the diagonal of the
	// activations' Gram matrix. 0 selects it by held-out sequences.
	Ridge float64
	// Emit, if set, receives each layer's result when it is complete, from the first to the last. Reconstruct then
	// returns nil, so its memory does not grow with the model's depth. Emit returns the values as stored, rounded to
	// some type, so that the refit of later layers also compensates for the rounding.
	Emit func(layer int, down []float32) (stored []float32, err error)
	// Grid, if set, returns the function that rounds a layer to its stored type, or nil. The refit rounds with it. If
	// Algebra solves, each neuron also compensates for the rounding of those before it.
	Grid func(layer, width int) Grid
	// Precision is the recipe's precision of matmuls, for the forward passes. The sums of the fit are not rounded to it.
	Precision llama.Precision
	// Hidden has the dense model's states of the same sequences, which saves its forward pass. Reconstruct frees the states
	// after use.
	Hidden *Hidden
	// States, if set, stores the states for later refits on these sequences, and supplies them if Hidden is nil.
	States *StateFile
	// Scratch is a folder for a file with the states that exceed Memory; "" keeps all of them in memory.
	Scratch string
	// Memory bounds the bytes of a layer's states that are in memory at the same time; 0: a share of the backend's memory.
	Memory int64
	// Algebra solves the least squares for backends that compute in the machine's own memory. nil selects the backend if
	// it can solve, or else gonum.
	Algebra LinearAlgebra
	// Log receives errors of reading or writing States; nil is silent.
	Log *slog.Logger
}

// Validate returns an error if an option is out of range.
func (o ReconstructOptions) Validate() error {
	if !(o.Ridge >= 0 && o.Ridge <= 100) {
		return fmt.Errorf("ridge is %g but must be from 0 (default) to 100", o.Ridge)
	}
	return nil
}

// Reconstruct refits the down projection of every layer to the neurons that a plan keeps, so that the pruned layer
// approximates the dense one's output. It returns float32[layers][hidden*width], rows of length width, in the layout of
// models.FFNDown.
//
// It refits layers from the first that loses neurons to the last. Each refit uses the activations h of the pruned model so far,
// so that later layers also correct the loss of earlier ones. With y the target, which the layer should add to the residual
// stream, W' = (sum y h^T + mu W) (sum h h^T + mu I)^-1. normtarget.go describes what changes if a norm follows the projection.
func Reconstruct(ctx context.Context, backend backends.Backend, weights models.Weights, plan *Plan, sequences [][]int32,
	opts ReconstructOptions, progress func(Progress)) (down [][]float32, err error) {
	defer llama.Guard(&err)
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if err := checkSequences(weights.Config(), sequences); err != nil {
		return nil, err
	}
	total := tokensOf(sequences)
	r, err := newReconstructor(backend, weights, plan, sequences, opts)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if r.park == nil { // if one layer's states do not fit into memory, the dense model's states of all layers do not either
		r.takeStates(ctx)
	}
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

// reconstructor refits layer after layer. It runs two streams in parallel: the dense model's hidden states and the pruned
// model's. It belongs to one goroutine.
type reconstructor struct {
	opts      ReconstructOptions
	plan      *Plan
	sequences [][]int32
	batches   []batch   // of sequences, for the pruned model
	portions  []portion // of batches; the states of one portion are in memory at a time
	park      *parking  // has the states of the other portions; nil: there is only one portion
	weights   models.Weights
	slim      models.Weights
	dense     *llama.Model
	pruned    *llama.Model
	fitter    fitter
	meter     *meter
	budget    llama.Budget
	tokens    int     // of all sequences
	first     int     // the first layer that loses neurons
	chosen    float64 // ridge of the previous layer that chose one
	precision llama.Precision

	hidden    *Hidden // the dense model's results of each layer; nil: computed by the dense stream
	stored    *Hidden // the same, if they were read here
	collected *Hidden // collects computed states for the file; nil: they are not stored

	// Set while a goroutine writes the given states to a file, during the first layers.
	keeping     sync.WaitGroup
	stopKeeping context.CancelFunc
	kept        []chan struct{} // by layer, closed when its states may be freed; nil: no file is written

	densePass *llama.LayerProgram // x -> out float32[t, e]
	slimPass  *llama.LayerProgram // x float32[s*t, e] of a batch, tokens int32[s] -> mid float32[s*t, e], h [s*t, f], 0 for padding
	gram      program             // G, C and any number of h, mid, outs of a batch -> G', C'
	normalize *Exec               // h, mid, outs of a batch, W, post norm -> h, mid in the units before the post norm; nil without it
	apply     program             // mid, h, W, and the post norm if there is one -> out float32[s*t, e]

	denseStates llama.States // by sequence
	slimStates  llama.States // by batch
	give        func(layer int, down []float32) (stored []float32, err error)
	lengths     []*tensors.Tensor // by batch: its sequences' tokens, int32[s]
	zeros       []float64         // initial value of sums, up to maxScratch
}

func newReconstructor(backend backends.Backend, weights models.Weights, plan *Plan, sequences [][]int32,
	opts ReconstructOptions) (_ *reconstructor, err error) {
	r := &reconstructor{
		opts: opts, plan: plan, sequences: sequences, weights: weights, budget: llama.BudgetOf(backend), first: plan.Untouched(),
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
	if solvesOn(backend) && (opts.Algebra == nil || r.budget.Doubles) {
		r.fitter, err = newDeviceFitter(r.pruned)
	} else {
		r.fitter = &hostFitter{model: r.pruned, algebra: cmp.Or[LinearAlgebra](opts.Algebra, gonumAlgebra{})}
	}
	if err != nil {
		return nil, err
	}
	if err = r.compile(); err != nil {
		return nil, err
	}
	r.batches = batchSequences(sequences, r.budget.Together)
	budget := cmp.Or(opts.Memory, r.budget.Refit)
	if opts.Scratch == "" {
		budget = math.MaxInt64
	}
	if r.portions = portionsOf(weights.Config(), r.batches, sequences, budget); len(r.portions) > 1 {
		if r.park, err = newParking(r.pruned, opts.Scratch); err != nil {
			return nil, err
		}
	}
	for _, of := range r.batches {
		var lengths []int32
		for _, tokens := range of.pick(sequences) {
			lengths = append(lengths, int32(len(tokens))) //nolint:gosec // at most a context's length
		}
		x, err := r.pruned.UploadTokens(lengths, len(lengths))
		if err != nil {
			return nil, err
		}
		r.lengths = append(r.lengths, x)
	}
	return r, nil
}

// compile compiles the programs.
func (r *reconstructor) compile() (err error) {
	c, mixed := r.dense.Config(), r.mixed()
	r.densePass, err = r.dense.LayerProgram("dense", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		return []*Node{llama.Forward(c, b, rope, args[0]).Out}
	})
	if err != nil {
		return err
	}
	r.slimPass, err = r.pruned.LayerProgram("slim", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		trace := llama.Forward(c, b, rope, args[0])
		position := Iota(args[0].Graph(), shapes.Make(dtypes.Int32, args[1].Shape().Dim(0), args[0].Shape().Dim(0)/args[1].Shape().Dim(0)), 1)
		counts := LessThan(position, BroadcastToShape(ExpandAxes(args[1], 1), position.Shape()))
		h := trace.Activation
		if mixed {
			h = ConvertDType(h, dtypes.BFloat16)
		}
		counts = BroadcastToShape(Reshape(counts, -1, 1), shapes.Make(dtypes.Bool, h.Shape().Dimensions...))
		return []*Node{trace.Mid, Where(counts, h, ZerosLike(h))} // exclude padding from the sums
	})
	if err != nil {
		return err
	}
	if r.gram, r.apply, err = r.matmuls(); err == nil && c.PostNorms {
		err = r.compilePostNorm()
	}
	return err
}

func (r *reconstructor) close() {
	if r.stopKeeping != nil {
		r.stopKeeping()
		r.keeping.Wait()
	}
	r.park.close()
	r.stored.Release()
	r.collected.Release() // frees states that denseStates may still refer to
	r.denseStates.Release()
	r.slimStates.Release()
	llama.Release(r.lengths...)
	for _, m := range []*llama.Model{r.dense, r.pruned} {
		if m != nil {
			m.Close()
		}
	}
}

// run refits all layers.
func (r *reconstructor) run(ctx context.Context) (down [][]float32, err error) {
	r.give = func(layer int, refitted []float32) ([]float32, error) {
		if r.opts.Emit != nil {
			return r.opts.Emit(layer, refitted)
		}
		down = append(down, refitted)
		return refitted, nil
	}
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	order, options := llama.Ascending(r.dense.Config().Layers)[r.first:], r.slimOptions()
	fit := func(dense, slim *llama.Layer) error {
		if err := r.layer(ctx, dense, slim); err != nil {
			return fmt.Errorf("reconstruct layer %d: %w", slim.Index, err)
		}
		return nil
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

// slimOptions returns how to load the layers to refit.
func (r *reconstructor) slimOptions() func(layer int) llama.LayerOptions {
	widths := r.plan.Widths()[r.first:]
	cost := r.fitter.padding()
	if r.mixed() {
		cost.flopSeconds = secondsOfMixedFlop
	}
	padded := padWidths(widths, r.dense.Config().HiddenSize, r.tokens, cost)
	if r.budget.Workers > 1 { // matmuls are cheap there, and compiling is expensive
		padded = slices.Repeat([]int{slices.Max(append(padded, 0))}, len(widths))
	}
	// The refit replaces the down projection, so the layer never multiplies by the old one.
	narrow := slices.DeleteFunc(slices.Clone(r.precision.Narrow()), func(role models.Role) bool { return role == models.FFNDown })
	return func(layer int) llama.LayerOptions {
		return llama.LayerOptions{PadFFN: padded[layer-r.first], Narrow: narrow}
	}
}

// layer runs both streams through one layer, refits its down projection in between and emits it. dense is nil if the dense
// stream's results are known.
func (r *reconstructor) layer(ctx context.Context, dense, slim *llama.Layer) (err error) {
	mids, activations := make(llama.States, len(r.batches)), make(llama.States, len(r.batches))
	defer mids.Release()
	defer activations.Release()
	s, err := r.newLayerSums(slim)
	if err != nil {
		return err
	}
	defer s.release()
	for _, p := range r.portions {
		if err := r.addPortion(ctx, p, dense, slim, s, mids, activations); err != nil {
			return err
		}
	}
	if s.apart() {
		if err := r.chooseRidge(ctx, slim.Index, s, slim.Down()); err != nil {
			return err
		}
	}
	refitted, err := r.fitter.fit(s, s.heldShare(), slim.Down(), r.chosen, len(r.plan.Kept[slim.Index]))
	if err != nil {
		return err
	}
	defer llama.Release(refitted)
	values, err := r.rounded(slim.Index, refitted, s)
	if err != nil {
		return err
	}
	return r.adopt(slim, refitted, values, mids, activations)
}

// addPortion runs both streams of a portion through one layer, the pruned one up to its down projection, and adds to the sums.
func (r *reconstructor) addPortion(ctx context.Context, p portion, dense, slim *llama.Layer, s layerSums, mids, activations llama.States) (err error) {
	if err := r.moveDense(ctx, dense, slim.Index, p); err != nil {
		return err
	}
	if err := r.park.take(parkedSlim, r.slimStates, p.batches); err != nil {
		return err
	}
	for _, i := range p.batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		if mids[i], activations[i], err = r.forward(slim, i); err != nil {
			return err
		}
		into := s.fit
		if heldOut(i) {
			into = s.held
		}
		if err := r.sum(into, r.batches[i], slim, mids[i], activations[i]); err != nil {
			return err
		}
	}
	for _, part := range []*sums{s.fit, s.held} {
		if err := r.flush(part); err != nil {
			return err
		}
	}
	if r.park == nil {
		return nil
	}
	for _, i := range p.batches {
		r.slimStates.Replace(i, nil)
	}
	return errors.Join(r.park.put(parkedDense, r.denseStates, p.sequences), r.park.put(parkedSlim, mids, p.batches),
		r.park.put(parkedActivation, activations, p.batches))
}
