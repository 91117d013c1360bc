package llamacpp

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestVectorMath(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m := &Model{}
	for _, n := range []int{1, 2, 15, 16, 17, 255, 256, 257, 1000, 49152} {
		logits := make([]float32, n)
		for i := range logits {
			logits[i] = float32(random.NormFloat64() * 8)
			switch random.IntN(20) {
			case 0:
				logits[i] = float32(math.Inf(-1))
			case 1:
				logits[i] = -1e30
			}
		}
		logits[random.IntN(n)] = 40
		logits[n-1] = 40
		index, largest := m.Largest(logits)
		if largest != 40 || logits[index] != 40 {
			t.Fatalf("%d: largest %g at %d", n, largest, index)
		}
		for _, x := range logits[:index] {
			if x == 40 {
				t.Errorf("%d: %d is not the first", n, index)
			}
		}
		const block, inverse = 256, 0.7
		probs, sums := make([]float32, n), make([]float32, (n+block-1)/block)
		m.Exponentials(probs, logits, largest, inverse, block, sums)
		for b := range sums {
			total := 0.0
			for i := b * block; i < min((b+1)*block, n); i++ {
				// The argument itself, up to 87, is rounded to float32: 87 * 2^-24 relative to the result.
				want := math.Exp((float64(logits[i]) - 40) * inverse)
				if want < 1e-37 {
					want = 0
				}
				if math.Abs(float64(probs[i])-want) > 2e-5*want {
					t.Fatalf("%d: exp of %g is %g, want %g", n, logits[i], probs[i], want)
				}
				total += float64(probs[i])
			}
			if math.Abs(float64(sums[b])-total) > 1e-5*total {
				t.Errorf("%d: block %d sums to %g, want %g", n, b, sums[b], total)
			}
		}
	}
	nothing := []float32{float32(math.Inf(-1)), float32(math.NaN()), float32(math.Inf(-1))}
	if i, x := m.Largest(nothing); !math.IsInf(float64(x), -1) || i != 0 {
		t.Errorf("largest of nothing: %g at %d", x, i)
	}
	if i, x := m.Largest([]float32{float32(math.NaN()), 3, float32(math.NaN())}); i != 1 || x != 3 {
		t.Errorf("largest with NaN: %g at %d", x, i)
	}
}

func BenchmarkVectorMath(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	m, n := &Model{}, 49152
	logits, probs, sums := make([]float32, n), make([]float32, n), make([]float32, n/256)
	for i := range logits {
		logits[i] = float32(random.NormFloat64() * 4)
	}
	b.Run("largest", func(b *testing.B) {
		for b.Loop() {
			m.Largest(logits)
		}
	})
	b.Run("exponentials", func(b *testing.B) {
		for b.Loop() {
			m.Exponentials(probs, logits, 20, 1, 256, sums)
		}
	})
}
