package infer

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRepetitionWindow compares the penalty of the last tokens with one that counts them anew in each step. It forgets tokens that
// leave the window; the other penalties never do.
func TestRepetitionWindow(t *testing.T) {
	const vocab = 12
	random := rand.New(rand.NewPCG(1, 2))
	for _, window := range []int{0, 1, 3, 7, 1000} {
		sampling := Sampling{RepetitionPenalty: 1.5, RepetitionWindow: window, PresencePenalty: 0.25, FrequencyPenalty: 0.5}
		var prompt, answer []Token
		for range 9 {
			prompt = append(prompt, Token(random.IntN(vocab)))
		}
		p := newPenalties(Request{Prompt: prompt, Sampling: sampling}, true)
		sc := &scratch{}
		for step := range 40 {
			logits := make([]float32, vocab)
			for i := range logits {
				logits[i] = float32(i) - 5
			}
			want := slices.Clone(logits)
			recent := slices.Concat(prompt, answer)
			if window > 0 {
				recent = recent[max(0, len(recent)-window):]
			}
			for i := range want {
				if slices.Contains(recent, Token(i)) {
					if want[i] > 0 {
						want[i] /= 1.5
					} else {
						want[i] *= 1.5
					}
				}
				count := 0
				for _, token := range answer {
					if int(token) == i {
						count++
					}
				}
				if count > 0 {
					want[i] -= 0.5*float32(count) + 0.25
				}
			}
			p.apply(sampling, logits, sc)
			if !slices.Equal(logits, want) {
				t.Fatalf("window %d, step %d: logits %v, want %v", window, step, logits, want)
			}
			next := Token(random.IntN(vocab))
			answer = append(answer, next)
			p.generated(next)
		}
	}
}
