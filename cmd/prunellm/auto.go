package main

import (
	"errors"
	"fmt"
	"time"

	"prunellm/internal/bench"
	"prunellm/internal/catalog"
	"prunellm/internal/slo"
)

// autoFlags configure 'name@auto': the server chooses the ratio by latency limits.
type autoFlags struct {
	SLOTTFT    time.Duration `help:"Limit on the time to first token for 'name@auto': the largest variant of --auto-ratios whose measured card is within the limits answers. 0: no limit." name:"slo-ttft" default:"0s" placeholder:"TIME"`
	SLOITL     time.Duration `help:"Limit on the inter-token latency for 'name@auto'. 0: no limit." name:"slo-itl" default:"0s" placeholder:"TIME"`
	AutoRatios []float64     `help:"Ratios that 'name@auto' and --shed choose from. With a limit, the server makes all of them and keeps them loaded." default:"0,0.2,0.4" placeholder:"R,..."`
	Shed       bool          `help:"Under load, answer 'name@auto' and names without a ratio with smaller variants of --auto-ratios, until latency is within the limits again."`
}

// checkAuto returns the faults of the flags, such as a ladder with more variants than may be loaded.
func (f *autoFlags) checkAuto(startup float64, maxVariants int) []error {
	var faults []error
	for _, ratio := range f.AutoRatios {
		if err := checkRatio(ratio); err != nil {
			faults = append(faults, fmt.Errorf("--auto-ratios: %w", err))
		}
	}
	if f.SLOTTFT < 0 || f.SLOITL < 0 {
		faults = append(faults, fmt.Errorf("--slo-ttft is %v and --slo-itl %v; neither may be negative", f.SLOTTFT, f.SLOITL))
	}
	limits := f.limits()
	if f.Shed && !limits.Set() {
		faults = append(faults, errors.New("--shed needs --slo-ttft or --slo-itl"))
	}
	if needed := len(slo.Ladder(f.AutoRatios, startup)); limits.Set() && needed > maxVariants {
		faults = append(faults, fmt.Errorf("--auto-ratios and --ratio are %d variants; the limit is --max-variants %d", needed, maxVariants))
	}
	return faults
}

func (f *autoFlags) limits() slo.Limits { return slo.Limits{TTFT: f.SLOTTFT, ITL: f.SLOITL} }

func (f *autoFlags) auto(startup float64) catalog.Auto {
	return catalog.Auto{Limits: f.limits(), Ladder: slo.Ladder(f.AutoRatios, startup), Shed: f.Shed, Policy: slo.DefaultPolicy()}
}

// machine describes everything on this machine that affects a variant's latency. It is part of the key of stored speeds.
func (f *engineFlags) machine() string {
	return fmt.Sprintf("%s; threads %d, %d; gpu %s; batch %d; drafts %s", bench.Hardware(), f.Threads, f.ThreadsBatch, f.GPULayers, f.BatchSize, f.DraftMax)
}
