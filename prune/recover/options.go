package recover

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"prunellm/models"
	"prunellm/models/llama"
)

// Train selects the weights to train.
type Train string

// The weights to train. The embeddings and the head stay the dense model's in all of them.
const (
	MLP  Train = "mlp"  // gate, up and down of every layer
	LoRA Train = "lora" // low-rank updates of all matrices of every layer (arXiv 2106.09685), merged at the end
	All  Train = "all"  // every weight of every layer, norms and biases included
)

// Options configure a training. A field's zero value selects its default, if it has one.
type Options struct {
	Train    Train         // default MLP
	Tokens   int           // tokens to train on, counted again in each epoch; 0: Duration sets the limit
	Duration time.Duration // working time; 0: Tokens sets the limit. With both, the first limit reached ends the training

	LearningRate float64         // peak of the schedule; default DefaultLearningRate
	Warmup       float64         // share of the training in which the rate rises; default 0.05
	FinalRate    float64         // share of the peak at which the cosine ends; default 0.02
	WeightDecay  float64         // of matrices; default 0
	Clip         float64         // times the running mean of a layer's gradient norm; default 2
	CrossEntropy float64         // share of cross entropy in the loss, in [0,1]; the rest is KL; default 0
	Rank         int             // of LoRA; default 8
	Alpha        float64         // of LoRA: updates are scaled by Alpha/Rank; default 16
	Precision    llama.Precision // of matmuls; weights and moments are float32 in any case
	Seed         uint64          // of the order of sequences and LoRA's start

	HeldOut     int // sequences held out; default a tenth of them, 1 to 8
	Evaluations int // number of evaluations on the held-out sequences after the first; default 10

	// Run writes checkpoints to Folder and resumes from the one there; "": no checkpoints. Identity distinguishes trainings:
	// Run does not use a checkpoint of another one.
	Folder     string
	Identity   string
	Checkpoint time.Duration // between checkpoints; default 2 minutes

	// Round, if set, rounds values, float32[rows*rowLen], as the file type does. Evaluations use rounded weights, so that a
	// gain that quantization destroys does not count.
	Round func(role models.Role, layer int, values []float32, rowLen int) ([]float32, error)
	// ReturnMemory returns free memory to the system. It is called every returnEvery steps and after evaluations.
	ReturnMemory func()
	// Now is the clock of working time. It may stop while the training is paused. Default time.Now.
	Now func() time.Time
	Log *slog.Logger // default: none
}

// DefaultLearningRate returns the peak learning rate for the weights to train and the ratio of removed parameters. The larger
// the ratio, the larger the best rate (see docs/understand/recovery.md).
func DefaultLearningRate(train Train, ratio float64) float64 {
	rate := 1e-4
	switch {
	case ratio >= 0.35:
		rate = 3e-4
	case ratio >= 0.25:
		rate = 2e-4
	}
	if train == LoRA {
		rate *= 10 // the factors start at zero and move less than the weights they update
	}
	return rate
}

// Limits of options.
const (
	maxTokens    = 1 << 40
	maxRank      = 1 << 10
	minSequences = 2 // one to train on, one held out
)

func (o Options) withDefaults() Options {
	number := func(value *float64, fallback float64) {
		if *value == 0 {
			*value = fallback
		}
	}
	if o.Train == "" {
		o.Train = MLP
	}
	number(&o.LearningRate, DefaultLearningRate(o.Train, 0.2))
	number(&o.Warmup, 0.05)
	number(&o.FinalRate, 0.02)
	number(&o.Clip, 2)
	number(&o.Alpha, 16)
	if o.Rank == 0 {
		o.Rank = 8
	}
	if o.Evaluations == 0 {
		o.Evaluations = 10
	}
	if o.Checkpoint == 0 {
		o.Checkpoint = 2 * time.Minute
	}
	if o.ReturnMemory == nil {
		o.ReturnMemory = func() {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate returns an error that lists all options out of range. It also accepts options without their defaults.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("recover: "+format, args...))
		}
	}
	if err := o.Precision.Validate(); err != nil {
		fault(false, "%w", err)
	}
	fault(o.Train == MLP || o.Train == LoRA || o.Train == All, "train is %q but must be mlp, lora or all", o.Train)
	fault(o.Tokens > 0 || o.Duration > 0, "tokens and duration are both 0; set one of them")
	fault(o.Tokens >= 0 && o.Tokens <= maxTokens, "tokens is %d but must be from 0 to %d", o.Tokens, maxTokens)
	fault(o.Duration >= 0, "duration is %s but must not be negative", o.Duration)
	fault(o.LearningRate > 0 && o.LearningRate <= 1, "learning rate is %g but must be above 0 and at most 1", o.LearningRate)
	fault(o.Warmup >= 0 && o.Warmup < 1, "warm-up is %g but must be at least 0 and below 1", o.Warmup)
	fault(o.FinalRate >= 0 && o.FinalRate <= 1, "final rate is %g but must be from 0 to 1", o.FinalRate)
	fault(o.WeightDecay >= 0 && o.WeightDecay <= 1, "weight decay is %g but must be from 0 to 1", o.WeightDecay)
	fault(o.Clip > 1, "clip is %g but must be above 1", o.Clip)
	fault(o.CrossEntropy >= 0 && o.CrossEntropy <= 1, "share of cross entropy is %g but must be from 0 to 1", o.CrossEntropy)
	fault(o.Rank > 0 && o.Rank <= maxRank, "rank is %d but must be from 1 to %d", o.Rank, maxRank)
	fault(o.Alpha > 0 && o.Alpha <= 1e6, "alpha is %g but must be above 0", o.Alpha)
	fault(o.HeldOut >= 0, "held out is %d but must not be negative", o.HeldOut)
	fault(o.Evaluations > 0, "evaluations is %d but must be at least 1", o.Evaluations)
	return errors.Join(faults...)
}

// roles returns the weights of a layer to train.
func (o Options) roles(c models.Config) []models.Role {
	var roles []models.Role
	for _, role := range llama.Roles(c) {
		matrix := len(c.TensorShape(role, 0)) == 2
		switch role {
		case models.FFNGate, models.FFNUp, models.FFNDown:
			roles = append(roles, role)
		default:
			if o.Train == All || o.Train == LoRA && matrix {
				roles = append(roles, role)
			}
		}
	}
	return roles
}
