package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"prunellm/infer"
	"prunellm/internal/machine"
)

// The load of MeasureSpeeds, which is similar to a plan's default.
const (
	SpeedPrompt  = 200 // tokens of a prompt
	speedAnswer  = 32  // tokens of an answer
	speedRounds  = 5
	speedSeconds = 10 // limit for each engine: a slow model gets fewer rounds
)

// busyShare is the share of this process's cores that other programs may use during a measurement.
const busyShare = 0.15

// ErrBusy is wrapped if other programs used the processor during a measurement.
var ErrBusy = errors.New("other programs use the processor")

// ErrBurst is wrapped if tokens of an answer arrived together, so that the time between them is unknown.
var ErrBurst = errors.New("tokens arrived at once")

// Engine is a loaded model of this process.
type Engine interface {
	Submit(ctx context.Context, request infer.Request) (infer.Generation, error)
	Tokenize(text string, bos, special bool) ([]infer.Token, error)
	ContextSize() int // tokens per sequence
}

// SpeedPromptOf returns how many tokens the prompts of MeasureSpeeds have.
func SpeedPromptOf(engine Engine) int { return min(SpeedPrompt, engine.ContextSize()/2) }

// Speed is the speed of a model with one stream.
type Speed struct {
	TTFT, ITL    Spread
	PromptTokens int // of each prompt
}

// Spread is the median of repeated measurements of a time, and their range.
type Spread struct {
	Median time.Duration
	Range  float64 // longest less shortest, over the median; 0 for a single one
}

func newSpread(all []time.Duration) Spread {
	slices.Sort(all)
	median := all[len(all)/2]
	return Spread{median, float64(all[len(all)-1]-all[0]) / float64(max(median, 1))}
}

// MeasureSpeeds requests a few answers from each engine. The engines alternate, so that changes on the machine affect all of
// them. Prompts differ, also between calls, so that no prompt cache is hit. Errors are the engines', or wrap ErrBurst. With an
// error that wraps ErrBusy it also returns the speeds.
func MeasureSpeeds(ctx context.Context, engines []Engine) ([]Speed, error) {
	chance := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // words of a prompt
	firsts, betweens := make([][]time.Duration, len(engines)), make([][]time.Duration, len(engines))
	began, before := time.Now(), machine.Now()
	for round := 0; round < speedRounds && (round == 0 || time.Since(began) < speedSeconds*time.Second*time.Duration(len(engines))); round++ {
		for i, engine := range engines {
			length := SpeedPromptOf(engine)
			prompt, err := engine.Tokenize(Prompt(chance, length), true, false)
			if err != nil {
				return nil, err
			}
			first, between, err := timeAnswer(ctx, engine, prompt[:min(length, len(prompt))])
			if err != nil {
				return nil, err
			}
			firsts[i], betweens[i] = append(firsts[i], first), append(betweens[i], between)
		}
	}
	speeds := make([]Speed, len(engines))
	for i, engine := range engines {
		speeds[i] = Speed{newSpread(firsts[i]), newSpread(betweens[i]), SpeedPromptOf(engine)}
	}
	return speeds, checkIdle(before, machine.Now())
}

// checkIdle returns an error that wraps ErrBusy if other programs took much of the cores that this process may use.
func checkIdle(before, after machine.Times) error {
	busy, spare, ok := before.Others(after)
	if limit := spare + busyShare*float64(machine.Cores()); ok && busy > limit {
		return fmt.Errorf("%w: %.1f cores on average; the limit is %.1f", ErrBusy, busy, limit)
	}
	return nil
}

// timeAnswer returns the time to the first token of one answer, and the mean time between the others.
func timeAnswer(ctx context.Context, engine Engine, prompt []infer.Token) (ttft, itl time.Duration, err error) {
	tokens := max(2, min(speedAnswer, engine.ContextSize()/4))
	began := time.Now()
	answer, err := engine.Submit(ctx, infer.Request{Prompt: prompt, MaxTokens: tokens, IgnoreEOS: true, Logprobs: -1})
	if err != nil {
		return 0, 0, err
	}
	seen := 0
	for {
		chunk, err := answer.Next(ctx)
		if err != nil {
			return 0, 0, err
		}
		now := time.Since(began)
		if seen == 0 && chunk.Usage.Completion > 0 {
			ttft, seen = now, chunk.Usage.Completion
		}
		if chunk.Finish == "" {
			continue
		}
		more := chunk.Usage.Completion - seen
		if more < 1 || now <= ttft {
			return 0, 0, fmt.Errorf("%d tokens: %w", tokens, ErrBurst)
		}
		return ttft, (now - ttft) / time.Duration(more), nil
	}
}
