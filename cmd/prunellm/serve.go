package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"

	"prunellm/internal/catalog"
	"prunellm/internal/flags"
	"prunellm/internal/improve"
	"prunellm/internal/jobs"
	"prunellm/internal/machine"
	"prunellm/internal/modelfacts"
	"prunellm/internal/progress"
	"prunellm/internal/speeds"
	"prunellm/internal/tracing"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
	"prunellm/openapi"
	"prunellm/prune"
	"prunellm/server"
)

// serveCommand answers OpenAI requests with pruned variants.
type serveCommand struct {
	modelFlags    `embed:"" group:"Model"`
	Ratio         float64            `help:"Share of all parameters to remove, from 0 up to but not including 1." group:"Model" default:"0.2" placeholder:"R"`
	FileType      string             `help:"Type of the matrices of all variants: q8_0, q4_0, f16 and others, or 'keep' for each matrix's type in the model file." group:"Model" default:"keep" placeholder:"TYPE"`
	WhilePruning  string             `help:"Until the variant is ready, 'dense' answers requests without a ratio with the dense model; 'wait' refuses them with 503 and Retry-After." group:"Serving" enum:"dense,wait" default:"dense"`
	MaxVariants   int                `help:"Loaded variants at most; the server unloads the least recently used one." group:"Serving" default:"3" placeholder:"N"`
	MaxMade       int                `help:"Variants that requests may cause to be made or loaded in all, besides the dense model and that of --ratio; 0: no limit." group:"Serving" default:"32" placeholder:"N"`
	MemoryBudget  int                `help:"MiB for all loaded variants together, including their contexts; 0: the memory limit of this process." group:"Serving" default:"0" placeholder:"MIB"`
	IdleTimeout   int                `help:"Minutes after which the server unloads an unused variant, except that of --ratio; 0: never." group:"Serving" default:"30" placeholder:"MINUTES"`
	Improve       string             `help:"Improve the startup variant while the server runs: begin with a quick one, continue with that of the other flags, then train it. The server does this only while no request runs, and uses a file only if it is better on held-out text. 'on' trains for 10 minutes, a time such as 15m for that long, 0s not at all." group:"Training" default:"off" placeholder:"off|on|TIME"`
	StopTimeout   int                `help:"Seconds for running requests to finish when the server stops." group:"Serving" default:"20" placeholder:"SECONDS"`
	Recover       backgroundRecovery `embed:"" prefix:"recover-" group:"Training"`
	autoFlags     `embed:"" group:"Serving"`
	chatFlags     `embed:"" group:"Model"`
	samplingFlags `embed:"" group:"Serving"`
	frontFlags    `embed:""`
	engineFlags   `embed:"" group:"Serving"`
	recipeFlags   `embed:"" group:"Pruning"`
	cacheFlags    `embed:"" group:"Cache"`
}

// maxWaitingVariants bounds the queue of variants to make.
const maxWaitingVariants = 8

// Validate reports every fault at once.
func (c *serveCommand) Validate() error {
	faults := flags.Faults(
		checkRatio(c.Ratio), c.engineFlags.Validate(), c.recipeFlags.Validate(), c.cacheFlags.Validate(),
		c.frontFlags.Validate(), c.Recover.Validate(), c.checkImprove(), c.chatFlags.Validate(), c.samplingFlags.Validate(),
	)
	if c.Ratio > openapi.MaxRatio && c.Ratio < 1 {
		faults = append(faults, fmt.Errorf("--ratio is %v but must be at most %v", c.Ratio, openapi.MaxRatio))
	}
	if c.MaxVariants < 1 || c.MaxVariants > 64 {
		faults = append(faults, fmt.Errorf("--max-variants is %d but must be 1 to 64", c.MaxVariants))
	}
	for _, field := range []struct {
		name       string
		value, max int
	}{{"max-made", c.MaxMade, 1 << 16}, {"memory-budget", c.MemoryBudget, 1 << 30}, {"idle-timeout", c.IdleTimeout, 1 << 20}} {
		if field.value < 0 || field.value > field.max {
			faults = append(faults, fmt.Errorf("--%s is %d but must be 0 to %d", field.name, field.value, field.max))
		}
	}
	if c.StopTimeout < 0 || c.StopTimeout > 3600 {
		faults = append(faults, fmt.Errorf("--stop-timeout is %d but must be 0 to 3600", c.StopTimeout))
	}
	return flags.Join(append(faults, c.checkAuto(c.Ratio, c.MaxVariants)...))
}

// Run serves until a signal stops the process.
func (c *serveCommand) Run(env *environment) error {
	access, err := c.openSecrets(env.log)
	if err != nil {
		return err
	}
	defer access.ReloadOnHangup(env.ctx)()
	traces, closeTracing, err := tracing.Open(env.ctx, tracing.Options{Endpoint: c.OTLPEndpoint, Getenv: os.Getenv, Version: version, Log: env.log})
	if err != nil {
		return err
	}
	defer closeTracing()
	model, _, err := c.openSource(env.ctx, env, c.CacheDir, true)
	if err != nil {
		return err
	}
	defer model.Close()
	template, err := c.template(model, env.log)
	if err != nil {
		return err
	}
	if err := c.fitContext(model, env.log); err != nil {
		return err
	}
	spec, err := c.spec(model, c.Ratio, c.FileType)
	if err != nil {
		return err
	}
	if err := variant.CheckSpec(model, spec); err != nil {
		return usageError{fmt.Errorf("--ratio: %w", err)}
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("--addr: %w (choose another port if another server uses this one)", err)
	}
	defer listener.Close()

	registry := prometheus.NewRegistry()
	registry.MustRegister(promcollectors.NewGoCollector(), promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}))
	pauser := jobs.NewPauser(machine.HasCPUQuota(), env.log)
	var variants *catalog.Catalog
	answers := func() bool { return c.WhilePruning == "dense" || variants.Status().Ready }
	shop, err := openWorkshop(env, model, c.cacheFlags, workshop.Serving{Registry: registry, Pauser: pauser, Answers: answers, Names: c.ModelNames})
	if err != nil {
		return err
	}
	defer shop.Close()
	var closeCatalog func()
	improver := c.improver(env, shop, spec)
	variants, closeCatalog = c.newCatalog(env, spec, shop, pauser, improver)
	defer closeCatalog()
	if err := shop.CheckServed(env.ctx); err != nil {
		return err
	}
	facts := modelfacts.Of(model, c.FileType)
	facts.Context, facts.Slots = c.Ctx, c.Parallel
	front, err := server.New(server.Options{
		Facts:  facts,
		Models: variants, Admin: variants, Chat: template, Thinking: c.thinking(), Sampling: c.sampling(model), Log: env.log, Registry: registry, Version: version,
		APIKeys: access.APIKeys(), TLS: access.TLS(), AllowedHosts: c.AllowedHosts, AllowedOrigins: c.AllowedOrigins, RateLimit: c.RateLimit, ResponseStoreBytes: int64(c.Stored) << 20, Tracing: traces, VLLMMetrics: c.VLLMMetrics,
		StopTimeout: time.Duration(c.StopTimeout) * time.Second,
	})
	if err != nil {
		return err
	}
	env.log.Info("listening", "addr", c.scheme()+"://"+listener.Addr().String(), "model", variant.Name(shop.Builder.Name, c.Ratio))
	variants.Start(env.ctx)
	if c.Ratio > 0 {
		defer improver.Start(env.ctx, variants)()
	}
	defer shop.Watch(env.ctx, spec, variants.Offer)()
	return front.Serve(env.ctx, listener)
}

// newCatalog returns a catalog that builds, loads and measures variants, and the function that closes it.
func (c *serveCommand) newCatalog(env *environment, spec variant.Spec, shop *workshop.Workshop, pauser *jobs.Pauser, improver *improve.Improver) (*catalog.Catalog, func()) {
	model, builder := shop.Builder.Model, shop.Builder
	view := progress.New(env.stderr, env.log)
	variants := catalog.New(catalog.Options{
		Model: catalog.Model{
			Name: builder.Name, Aliases: c.ModelNames, Startup: c.Ratio, Largest: variant.LargestRatio(model.Config(), spec),
			ServeDense: c.WhilePruning == "dense",
		},
		Limits: catalog.Limits{
			MaxLoaded: c.MaxVariants, MaxWaiting: maxWaitingVariants, MaxMade: c.MaxMade,
			MemoryBudget: int64(c.MemoryBudget) << 20, IdleTimeout: time.Duration(c.IdleTimeout) * time.Minute,
		},
		Work: catalog.Work{
			Memory: c.memory,
			Build: func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error) {
				build := builder.Build
				if ratio == c.Ratio && ratio > 0 {
					build = improver.Build
				}
				built, err := build(ctx, spec.At(ratio), progress)
				var tooMuch *prune.RatioError
				if errors.As(err, &tooMuch) {
					return built, fmt.Errorf("%w", &server.RatioError{Ratio: ratio, Max: math.Floor(1000*tooMuch.Largest) / 1000})
				}
				if err == nil {
					shop.Counters.Builds.Inc()
					view.Close()
				}
				return built, err
			},
			Remove: func(ctx context.Context, built variant.Built) error {
				if built.Path == model.Path() { // the user owns the dense model's file
					return nil
				}
				return shop.Files.Remove(ctx, built.Digest)
			},
			Load: func(ctx context.Context, built variant.Built) (catalog.Loaded, error) {
				return c.load(ctx, built, env.log)
			},
		},
		Measure: catalog.Measure{
			Cost: func(ctx context.Context, built variant.Built) (variant.Card, error) {
				return builder.Card(ctx, spec.At(built.Ratio), built, shop.Orders.Measure)
			},
			Speeds: speeds.Finder(builder, c.machine(), env.log),
		},
		Auto:  c.auto(c.Ratio),
		Hooks: catalog.Hooks{OnUse: pauser.Requests, OnMake: improver.Making, Progress: view.Show},
		Log:   env.log,
	})
	return variants, func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := variants.Close(ctx); err != nil {
			env.log.Warn("engines did not close in time", "error", err)
		}
	}
}

// closeTimeout bounds the time that engines get to end requests that the server has already cut off.
const closeTimeout = 5 * time.Second
