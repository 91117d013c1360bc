package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"prunellm/internal/bench"
	"prunellm/internal/flags"
	"prunellm/internal/outfile"
	"prunellm/internal/secrets"
	"prunellm/internal/speeds"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
)

// benchCommand measures latency and throughput as a client sees them.
type benchCommand struct {
	modelFlags   `embed:"" group:"Model"`
	Ratios       []float64     `help:"Ratios to measure, each in a server of its own; 0 is the dense model. Default without --url: 0,0.2,0.4." placeholder:"R,..."`
	URL          []string      `help:"Base URL of a running OpenAI-compatible server, such as http://127.0.0.1:8080/v1; may be repeated. Each run draws new prompts." name:"url" sep:"none" placeholder:"[NAME=]URL"`
	RequestModel string        `help:"Model to request from the servers of --url. Default: the first model that each server lists." placeholder:"NAME"`
	APIKeyFile   string        `help:"File whose first line is the API key for the servers of --url." name:"api-key-file" type:"path" placeholder:"FILE"`
	Streams      []int         `help:"Closed loops: numbers of concurrent requests. Default without --rates: 1,4." placeholder:"N,..."`
	Rates        []float64     `help:"Open loops: requests per second. They arrive at random (Poisson), whether or not earlier ones have ended." placeholder:"R,..."`
	Requests     int           `help:"Requests per round." default:"8" placeholder:"N"`
	Rounds       int           `help:"Rounds at each load; the servers take turns." default:"3" placeholder:"N"`
	Warmup       int           `help:"Requests to each server before measuring." default:"2" placeholder:"N"`
	PromptWords  string        `help:"Words per prompt, about one token each: N, MIN-MAX, normal:MEAN,SD or lognormal:MEDIAN,SIGMA." default:"200" placeholder:"LENGTHS"`
	AnswerTokens string        `help:"Tokens per answer, in the same forms." default:"64" placeholder:"LENGTHS"`
	SLOTTFT      time.Duration `help:"Largest time to first token of a good request; 0: no limit." name:"slo-ttft" default:"0s" placeholder:"TIME"`
	SLOITL       time.Duration `help:"Largest mean inter-token latency of a good request; 0: no limit." name:"slo-itl" default:"0s" placeholder:"TIME"`
	SLOE2E       time.Duration `help:"Largest time for the whole answer of a good request; 0: no limit." name:"slo-e2e" env:"PRUNELLM_SLO_E2E" default:"0s" placeholder:"TIME"`
	Timeout      time.Duration `help:"Timeout per request." default:"5m" placeholder:"TIME"`
	JSON         string        `help:"File for the figures, with the keys of 'vllm bench serve'; '-' prints them instead of the table." name:"json" type:"path" placeholder:"FILE"`
	HTML         string        `help:"File for a self-contained report with charts." name:"html" type:"path" placeholder:"FILE"`
	FileType     string        `help:"Type of the matrices of all variants, including the dense one, so that they differ by pruning alone. 'keep' keeps the types of the model file." default:"keep" placeholder:"TYPE"`
	engineFlags  `embed:"" group:"Serving"`
	recipeFlags  `embed:"" group:"Pruning"`
	cacheFlags   `embed:"" group:"Cache"`
}

// Limits of one run: targets, streams, requests per second, requests per round, rounds.
const (
	maxTargets  = 32
	maxStreams  = 1024
	maxRate     = 1e4
	maxRequests = 1 << 16
	maxRounds   = 1000
)

// Validate reports every fault at once, and sets the defaults that depend on other flags.
func (c *benchCommand) Validate() error {
	faults := flags.Faults(c.engineFlags.Validate(), c.recipeFlags.Validate(), c.cacheFlags.Validate())
	if len(c.Ratios) == 0 && len(c.URL) == 0 {
		c.Ratios = []float64{0, 0.2, 0.4}
	}
	if len(c.Streams) == 0 && len(c.Rates) == 0 {
		c.Streams = []int{1, 4}
	}
	for i, ratio := range c.Ratios {
		faults = append(faults, flags.Faults(checkRatio(ratio))...)
		if slices.Contains(c.Ratios[:i], ratio) {
			faults = append(faults, fmt.Errorf("--ratios has %v twice", ratio))
		}
	}
	if n := len(c.Ratios) + len(c.URL); n > maxTargets {
		faults = append(faults, fmt.Errorf("--ratios and --url name %d targets; the limit is %d", n, maxTargets))
	}
	for _, streams := range c.Streams {
		if streams < 1 || streams > maxStreams {
			faults = append(faults, fmt.Errorf("--streams has %d; each must be 1 to %d", streams, maxStreams))
		}
	}
	for _, rate := range c.Rates {
		if !(rate >= 0.001 && rate <= maxRate) {
			faults = append(faults, fmt.Errorf("--rates has %v; each must be 0.001 to %g requests per second", rate, maxRate))
		}
	}
	for _, field := range []struct {
		name            string
		value, min, max int
	}{{"requests", c.Requests, 1, maxRequests}, {"rounds", c.Rounds, 1, maxRounds}, {"warmup", c.Warmup, 0, maxRequests}} {
		if field.value < field.min || field.value > field.max {
			faults = append(faults, fmt.Errorf("--%s is %d but must be %d to %d", field.name, field.value, field.min, field.max))
		}
	}
	for name, d := range map[string]time.Duration{"slo-ttft": c.SLOTTFT, "slo-itl": c.SLOITL, "slo-e2e": c.SLOE2E, "timeout": c.Timeout} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("--%s is %v but must not be negative", name, d))
		}
	}
	_, err := c.plan()
	return flags.Join(append(faults, flags.Faults(err)...))
}

// plan returns the plan that the flags describe.
func (c *benchCommand) plan() (bench.Plan, error) {
	plan := bench.Plan{
		Rounds: c.Rounds, Requests: c.Requests, Warmup: c.Warmup, Seed: c.Seed, Timeout: c.Timeout,
		SLO: bench.SLO{TTFT: c.SLOTTFT, ITL: c.SLOITL, E2E: c.SLOE2E},
	}
	if len(c.URL) > 0 {
		plan.Seed = uint64(rand.Uint32()) //nolint:gosec // a running server may still cache the prompts of an earlier run
	}
	for _, streams := range c.Streams {
		plan.Loads = append(plan.Loads, bench.Load{Streams: streams})
	}
	for _, rate := range c.Rates {
		plan.Loads = append(plan.Loads, bench.Load{Rate: rate})
	}
	var errPrompt, errAnswer error
	if plan.Prompt, errPrompt = bench.ParseLengths(c.PromptWords); errPrompt != nil {
		errPrompt = fmt.Errorf("--prompt-words: %w", errPrompt)
	}
	if plan.Answer, errAnswer = bench.ParseLengths(c.AnswerTokens); errAnswer != nil {
		errAnswer = fmt.Errorf("--answer-tokens: %w", errAnswer)
	}
	return plan, flags.Join(flags.Faults(errPrompt, errAnswer))
}

// Run starts the servers, measures them and writes the reports.
func (c *benchCommand) Run(env *environment) error {
	outputs := []string{c.HTML}
	if c.JSON != "-" {
		outputs = append(outputs, c.JSON)
	}
	for _, path := range outputs {
		if path != "" {
			if err := outfile.CheckFolder(path); err != nil {
				return err
			}
		}
	}
	plan, err := c.plan()
	if err != nil {
		return usageError{err}
	}
	runtime.LockOSThread() // the kernel kills a server when the thread that started it ends
	defer runtime.UnlockOSThread()
	shop, closeShop, err := c.openWorkshop(env)
	if err != nil {
		return err
	}
	defer closeShop()
	servers, err := c.serveRatios(env, shop)
	defer closeServers(servers)
	if err != nil {
		return err
	}
	remote, err := c.remotes(env.ctx)
	if err != nil {
		return err
	}
	targets := make([]bench.Target, 0, len(servers)+len(remote))
	for _, s := range servers {
		targets = append(targets, s.Target)
	}
	targets = append(targets, remote...)
	report, err := bench.Run(env.ctx, targets, plan, func(load bench.Load, round int, target string) {
		env.log.Info("measuring", "load", load.String(), "round", round+1, "rounds", plan.Rounds, "target", target)
	})
	if err != nil {
		return err
	}
	for _, s := range servers {
		s.Target.About.MemoryBytes = s.PeakMemory()
	}
	if err := c.keepSpeeds(env, shop, servers, report); err != nil {
		env.log.Warn("speeds not stored", "error", err)
	}
	report.Hardware, report.Version, report.Command = bench.Hardware(), version, "prunellm "+strings.Join(os.Args[1:], " ")
	return c.write(env, report)
}

// write writes the reports that --html and --json name, and prints a table or JSON.
func (c *benchCommand) write(env *environment, report *bench.Report) error {
	if c.HTML != "" {
		if err := outfile.Write(c.HTML, report.HTML); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	if c.JSON == "-" {
		return report.JSON(env.stdout)
	}
	if c.JSON != "" {
		if err := outfile.Write(c.JSON, report.JSON); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	return report.Table(env.stdout)
}

// openWorkshop opens the model and its workshop if --ratios names targets; otherwise shop is nil.
func (c *benchCommand) openWorkshop(env *environment) (shop *workshop.Workshop, closeShop func(), err error) {
	if len(c.Ratios) == 0 {
		return nil, func() {}, nil
	}
	model, err := c.open(env, c.CacheDir)
	if err != nil {
		return nil, nil, err
	}
	shop, err = openWorkshop(env, model, c.cacheFlags, workshop.Serving{})
	if err != nil {
		return nil, nil, errors.Join(err, model.Close())
	}
	return shop, func() {
		shop.Close()
		_ = model.Close() // the model is read-only
	}, nil
}

// serveRatios makes the variants, measures their cards, and starts a server for each. With an error it also returns the
// servers that it has started; the caller must close them.
func (c *benchCommand) serveRatios(env *environment, shop *workshop.Workshop) ([]*benchServer, error) {
	variants := make([]variant.Built, len(c.Ratios))
	for i, ratio := range c.Ratios {
		spec, err := c.spec(shop.Builder.Model, ratio, c.FileType)
		if err != nil {
			return nil, err
		}
		if variants[i], err = shop.Build(env.ctx, spec); err != nil {
			return nil, err
		}
	}
	var servers []*benchServer
	for _, built := range variants {
		about, err := c.about(env, shop, built) // after all builds: pruning stores the text that cards need
		if err != nil {
			return servers, err
		}
		server, err := c.startServer(env, built)
		if err != nil {
			return servers, fmt.Errorf("serve %s: %w", built.Name(), err)
		}
		server.Target.About = about
		servers = append(servers, server)
	}
	for _, s := range servers {
		if err := s.WaitReady(env.ctx); err != nil {
			return servers, fmt.Errorf("serve %s: %w", s.Target.Name, err)
		}
	}
	return servers, nil
}

// about describes a variant, with the perplexity, KL divergence and top-1 agreement of its card if it has one.
func (c *benchCommand) about(env *environment, shop *workshop.Workshop, built variant.Built) (*bench.About, error) {
	spec, err := c.spec(shop.Builder.Model, built.Ratio, c.FileType)
	if err != nil {
		return nil, err
	}
	about := &bench.About{Ratio: built.Ratio, RatioReached: built.Reached, Parameters: built.Parameters, Bytes: built.Bytes}
	card, err := shop.Card(env.ctx, spec, built)
	if card != nil {
		over := card.Ratio()
		about.Perplexity, about.PerplexityRatio = &card.Perplexity, &over
		about.KLToDense, about.Top1Agreement = &card.KLToDense, &card.Top1Agreement
	}
	return about, err
}

// keepSpeeds stores the speeds of the variants that the report has.
func (c *benchCommand) keepSpeeds(env *environment, shop *workshop.Workshop, servers []*benchServer, report *bench.Report) error {
	now := time.Now()
	for _, s := range servers {
		if speed, ok := speeds.Of(report, s.Target.Name, now); ok {
			if err := shop.Builder.KeepSpeed(env.ctx, s.built, c.machine(), speed); err != nil {
				return err
			}
		}
	}
	return nil
}

// remotes returns the running servers that --url names.
func (c *benchCommand) remotes(ctx context.Context) ([]bench.Target, error) {
	key, err := secrets.ReadKey(c.APIKeyFile)
	if err != nil {
		return nil, err
	}
	targets, err := bench.ParseTargets(c.URL)
	if err != nil {
		return nil, usageError{fmt.Errorf("--url: %w", err)}
	}
	for i, target := range targets {
		target.Key, target.Model = key, c.RequestModel
		if target.Model == "" {
			if target.Model, err = bench.FirstModel(ctx, target); err != nil {
				return nil, fmt.Errorf("--url %s: %w", target.URL, err)
			}
		}
		targets[i] = target
	}
	return targets, nil
}
