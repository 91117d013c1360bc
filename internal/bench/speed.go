package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"prunellm/infer"
)

// What a speed is measured on: about a plan's default.
const (
	SpeedPrompt  = 200 // tokens of a prompt
	speedAnswer  = 32  // tokens of an answer
	speedRounds  = 3
	speedSeconds = 10 // a slow model gets fewer rounds
)

// ErrBurst is wrapped if tokens of an answer arrived together, so that the time between them is not known.
var ErrBurst = errors.New("tokens arrived at once")

// Engine is a loaded model of this process.
type Engine interface {
	Submit(ctx context.Context, request infer.Request) (infer.Generation, error)
	Tokenize(text string, bos, special bool) ([]infer.Token, error)
	ContextSize() int // tokens per sequence
}

// SpeedPromptOf returns how many tokens the prompts of MeasureSpeed have.
func SpeedPromptOf(engine Engine) int { return min(SpeedPrompt, engine.ContextSize()/2) }

// MeasureSpeed asks an engine for a few answers, one after the other. It returns the medians of the time to the first token
// and of the inter-token latency, and the tokens of a prompt. Prompts differ, also between calls, so that no prompt cache
// helps. Errors are the engine's, or wrap ErrBurst.
func MeasureSpeed(ctx context.Context, engine Engine) (ttft, itl time.Duration, promptTokens int, err error) {
	length := SpeedPromptOf(engine)
	chance := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // words of a prompt
	var firsts, betweens []time.Duration
	began := time.Now()
	for i := 0; i < speedRounds && (i == 0 || time.Since(began) < speedSeconds*time.Second); i++ {
		prompt, err := engine.Tokenize(Prompt(chance, length), true, false)
		if err != nil {
			return 0, 0, 0, err
		}
		first, between, err := timeAnswer(ctx, engine, prompt[:min(length, len(prompt))])
		if err != nil {
			return 0, 0, 0, err
		}
		firsts, betweens = append(firsts, first), append(betweens, between)
	}
	slices.Sort(firsts)
	slices.Sort(betweens)
	return firsts[len(firsts)/2], betweens[len(betweens)/2], length, nil
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
