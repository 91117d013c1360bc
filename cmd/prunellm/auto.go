package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"prunellm/infer"
	"prunellm/internal/bench"
	"prunellm/internal/catalog"
	"prunellm/internal/slo"
	"prunellm/internal/variant"
	"prunellm/server"
)

// autoFlags let the server choose the ratio.
type autoFlags struct {
	SLOTTFT    time.Duration `help:"Time to first token that 'name@auto' keeps by the measured cards: the largest variant of --auto-ratios within the limits answers. 0: no limit." name:"slo-ttft" default:"0s" placeholder:"TIME"`
	SLOITL     time.Duration `help:"Inter-token latency that 'name@auto' keeps, likewise. 0: no limit." name:"slo-itl" default:"0s" placeholder:"TIME"`
	AutoRatios []float64     `help:"Ratios that 'name@auto' and --shed choose from. With a limit, all of them are made and kept loaded." default:"0,0.2,0.4" placeholder:"R,..."`
	Shed       bool          `help:"Under load, answer 'name@auto' and names without a ratio with smaller variants of --auto-ratios until the limits are kept again."`
}

// checkAuto checks the ladder against what may be loaded.
func (f *autoFlags) checkAuto(startup float64, maxVariants int) []error {
	var faults []error
	for _, ratio := range f.AutoRatios {
		if err := checkRatio(ratio); err != nil {
			faults = append(faults, fmt.Errorf("--auto-ratios: %w", err))
		}
	}
	if f.SLOTTFT < 0 || f.SLOITL < 0 {
		faults = append(faults, fmt.Errorf("--slo-ttft is %v and --slo-itl %v, want no negative time", f.SLOTTFT, f.SLOITL))
	}
	limits := f.limits()
	if f.Shed && !limits.Set() {
		faults = append(faults, errors.New("--shed needs --slo-ttft or --slo-itl"))
	}
	if needed := len(withRatio(f.AutoRatios, startup)); limits.Set() && needed > maxVariants {
		faults = append(faults, fmt.Errorf("--auto-ratios and --ratio are %d variants, want at most --max-variants %d", needed, maxVariants))
	}
	return faults
}

func (f *autoFlags) limits() slo.Limits { return slo.Limits{TTFT: f.SLOTTFT, ITL: f.SLOITL} }

// withRatio is a ladder with the startup ratio in it, in order and each once.
func withRatio(ladder []float64, startup float64) []float64 {
	all := append(slices.Clone(ladder), startup)
	slices.Sort(all)
	return slices.Compact(all)
}

func (f *autoFlags) auto(startup float64) catalog.Auto {
	return catalog.Auto{Limits: f.limits(), Ladder: withRatio(f.AutoRatios, startup), Shed: f.Shed, Policy: slo.DefaultPolicy()}
}

// machine names all that decides how quick a variant is here.
func (f *engineFlags) machine() string {
	return fmt.Sprintf("%s; threads %d, %d; gpu %s; batch %d", bench.Hardware(), f.Threads, f.ThreadsBatch, f.GPULayers, f.BatchSize)
}

// What a speed is measured on: about the default of bench.
const (
	speedPrompt  = 200
	speedAnswer  = 32
	speedRounds  = 3
	speedSeconds = 10 // a slow model is measured fewer times
)

// speedOf finds a variant's stored speed, or measures and stores it.
func speedOf(builder *variant.Builder, machine string, log *slog.Logger) func(context.Context, variant.Built, server.Engine, func() bool) (variant.Speed, error) {
	return func(ctx context.Context, built variant.Built, engine server.Engine, undisturbed func() bool) (variant.Speed, error) {
		if stored, err := builder.Speed(ctx, built, machine); err == nil && stored.PromptTokens >= speedPromptOf(engine) {
			return stored, nil
		}
		speed, err := measureSpeed(ctx, engine)
		if err != nil {
			return speed, err
		}
		if !undisturbed() {
			return speed, catalog.ErrDisturbed
		}
		if err := builder.KeepSpeed(ctx, built, machine, speed); err != nil {
			log.Warn("speed not stored", "variant", built.Name(), "error", err)
		}
		return speed, nil
	}
}

// speedPromptOf is how many tokens an engine's prompts have when its speed is measured.
func speedPromptOf(engine server.Engine) int { return min(speedPrompt, engine.ContextSize()/2) }

// measureSpeed asks an engine for a few answers, one after the other, and takes medians. Each prompt is another one, also than those of an
// attempt before: a prompt cache must not help.
func measureSpeed(ctx context.Context, engine server.Engine) (variant.Speed, error) {
	length := speedPromptOf(engine)
	chance := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // words of a prompt
	var ttft, itl []time.Duration
	began := time.Now()
	for i := 0; i < speedRounds && (i == 0 || time.Since(began) < speedSeconds*time.Second); i++ {
		prompt, err := engine.Tokenize(bench.Prompt(chance, length), true, false)
		if err != nil {
			return variant.Speed{}, err
		}
		first, between, err := timeAnswer(ctx, engine, prompt[:min(length, len(prompt))])
		if err != nil {
			return variant.Speed{}, err
		}
		ttft, itl = append(ttft, first), append(itl, between)
	}
	slices.Sort(ttft)
	slices.Sort(itl)
	return variant.NewSpeed(ttft[len(ttft)/2], itl[len(itl)/2], length), nil
}

// timeAnswer is the time to the first token of one answer, and the mean time between the others.
func timeAnswer(ctx context.Context, engine server.Engine, prompt []infer.Token) (ttft, itl time.Duration, err error) {
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
			return 0, 0, fmt.Errorf("%d tokens came at once, want them one by one: %w", tokens, catalog.ErrDisturbed)
		}
		return ttft, (now - ttft) / time.Duration(more), nil
	}
}
