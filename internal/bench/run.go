package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// round holds the samples of one round of a target at a load.
type round struct {
	samples []Sample
	took    time.Duration
}

// Run measures all loads and rounds, with alternating targets, and reports. It calls told, if not nil, before each
// round. A target that fails every request of a round ends the run with its first error; single failures are counted.
func Run(ctx context.Context, targets []Target, plan Plan, told func(load Load, round int, target string)) (*Report, error) {
	if len(targets) == 0 || len(plan.Loads) == 0 || plan.Rounds < 1 {
		return nil, errors.New("nothing to run: a target, a load and a round are needed")
	}
	client := newClient()
	defer client.CloseIdleConnections()
	if err := warmUp(ctx, client, targets, plan); err != nil {
		return nil, err
	}
	report := &Report{Date: time.Now(), Plan: plan}
	cpu, began := processCPU(), time.Now()
	for load := range plan.Loads {
		rounds := make([][]round, len(targets))
		for number := range plan.Rounds {
			requests := plan.round(load, number)
			for _, i := range turn(number, len(targets)) {
				if told != nil {
					told(plan.Loads[load], number, targets[i].Name)
				}
				r, err := runRound(ctx, client, targets[i], plan, plan.Loads[load], requests)
				if err != nil {
					return nil, fmt.Errorf("%s at %s: %w", targets[i].Name, plan.Loads[load], err)
				}
				rounds[i] = append(rounds[i], r)
			}
		}
		for i, target := range targets {
			result := newResult(target, plan, plan.Loads[load], rounds[i])
			if i > 0 {
				result.Ratios = ratios(rounds[i], rounds[0], plan.SLO)
				result.Baseline = targets[0].Name
			}
			report.Results = append(report.Results, result)
		}
	}
	report.ClientCPU, report.Took = processCPU()-cpu, time.Since(began)
	return report, nil
}

// turn returns the order of the targets in a round. It reverses every second round, so that no target always follows the same
// one.
func turn(number, targets int) []int {
	order := make([]int, targets)
	for i := range order {
		order[i] = i
		if number%2 == 1 {
			order[i] = targets - 1 - i
		}
	}
	return order
}

// warmUp fills caches and opens connections, because the first requests of a server are slower than later ones.
func warmUp(ctx context.Context, client *http.Client, targets []Target, plan Plan) error {
	for _, target := range targets {
		chance := rand.New(rand.NewPCG(plan.Seed, 1<<63)) //nolint:gosec // reproducible on purpose
		for range plan.Warmup {
			r := request{prompt: Prompt(chance, plan.Prompt.Draw(chance)), tokens: min(plan.Answer.Draw(chance), 8)}
			if s := timed(ctx, client, target, plan, r, time.Now()); s.Err != nil {
				return fmt.Errorf("warm up %s: %w", target.Name, s.Err)
			}
		}
	}
	return ctx.Err()
}

func timed(ctx context.Context, client *http.Client, target Target, plan Plan, r request, begin time.Time) Sample {
	if plan.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, plan.Timeout)
		defer cancel()
	}
	return ask(ctx, client, target, r, begin)
}

// runRound sends all requests and waits for all answers.
func runRound(ctx context.Context, client *http.Client, target Target, plan Plan, load Load, requests []request) (round, error) {
	r := round{samples: make([]Sample, len(requests))}
	began := time.Now()
	var running sync.WaitGroup
	if load.Rate > 0 {
		openLoop(ctx, &running, began, requests, func(i int, at time.Time) { r.samples[i] = timed(ctx, client, target, plan, requests[i], at) })
	} else {
		next := make(chan int, len(requests)) // capacity for all indices, so that the sender is done before the streams begin
		for i := range requests {
			next <- i
		}
		close(next)
		for range load.Streams {
			running.Go(func() {
				for i := range next {
					r.samples[i] = timed(ctx, client, target, plan, requests[i], time.Now())
				}
			})
		}
	}
	running.Wait()
	r.took = time.Since(began)
	if err := ctx.Err(); err != nil {
		return r, err
	}
	for _, s := range r.samples {
		if s.Err == nil {
			return r, nil
		}
	}
	return r, fmt.Errorf("no request of a round succeeded, first error: %w", r.samples[0].Err)
}

// openLoop starts each request at its time of arrival, even if others still run. A late start counts as latency.
func openLoop(ctx context.Context, running *sync.WaitGroup, began time.Time, requests []request, send func(i int, at time.Time)) {
	for i := range requests {
		at := began.Add(requests[i].at)
		timer := time.NewTimer(time.Until(at))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		running.Go(func() { send(i, at) })
	}
}
