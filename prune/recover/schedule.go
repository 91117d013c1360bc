package recover

import (
	"math"
	"math/rand/v2"
)

// rateAt returns the learning rate after a share of the training, in [0,1]: a linear rise, then half a cosine down to
// FinalRate.
func (o Options) rateAt(done float64) float64 {
	done = min(max(done, 0), 1)
	if done < o.Warmup {
		return o.LearningRate * max(done/o.Warmup, 0.02) // above zero, so that the first step changes the weights
	}
	down := (done - o.Warmup) / (1 - o.Warmup)
	return o.LearningRate * (o.FinalRate + (1-o.FinalRate)*(1+math.Cos(math.Pi*down))/2)
}

// order returns the order of n sequences in an epoch.
func (o Options) order(n, epoch int) []int {
	return rand.New(rand.NewPCG(o.Seed, uint64(epoch))).Perm(n)
}
