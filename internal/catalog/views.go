package catalog

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

// status returns the result of server.Models.Status.
func (s *state) status() server.Status {
	if e := s.engine(s.model.Startup); e != nil {
		return server.Status{Ready: true, Stage: e.built.Stage, Next: s.next}
	}
	status := server.Status{Progress: cmp.Or(s.failures.status, "starting"), RetryAfter: server.DefaultRetryAfter}
	if dense := s.engine(0); s.model.ServeDense && dense != nil {
		status.Ready, status.Stage = true, dense.built.Stage
	}
	if shelf, ok := s.shelves[s.model.Startup]; ok && shelf.progress.Stage != "" {
		status.Progress = shelf.progress.String()
		status.RetryAfter = min(max(shelf.progress.TimeLeft().Round(time.Second), time.Second), time.Minute)
	}
	return status
}

// total returns the load of all loaded variants together.
func (s *state) total() server.Load {
	var sum server.Load
	for _, e := range s.loaded {
		stats := e.Stats()
		sum.Waiting += stats.Queued
		sum.Running += stats.Running
		sum.CacheTokens += stats.CacheTokens
		sum.CacheSize += stats.CacheSize
	}
	return sum
}

// loadedFor returns the engine that a request would get now; nil if its variant must be made or loaded first.
func (s *state) loadedFor(name openapi.ModelName) *engine {
	if e := s.engine(s.model.ratioOf(name)); e != nil || name.Explicit || !s.model.ServeDense {
		return e
	}
	return s.engine(0)
}

// list returns the result of server.Models.List: the server's own names, then the dense model and the variants that are
// loaded or offered.
func (s *state) list(created time.Time) []openapi.Model {
	entry := func(id string, e *engine) openapi.Model {
		m := openapi.Model{ID: id, Object: "model", Created: created.Unix(), OwnedBy: "prunellm", Root: s.model.Name}
		if e != nil {
			m.Card = e.card()
			m.Card.MaxRatio = s.model.Largest
		}
		return m
	}
	startup := s.engine(s.model.Startup)
	models := []openapi.Model{entry(s.model.Name, startup)}
	for _, alias := range s.model.Aliases {
		if alias != s.model.Name {
			models = append(models, entry(alias, startup))
		}
	}
	named := map[string]*engine{variant.Name(s.model.Name, s.model.Startup): startup, variant.Name(s.model.Name, 0): nil}
	for ratio := range s.offered {
		named[variant.Name(s.model.Name, ratio)] = nil
	}
	for _, e := range s.loaded {
		named[e.built.Name()] = e
	}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		models = append(models, entry(id, named[id]))
	}
	return models
}

// describe returns an administrator's view of a ratio.
func (s *state) describe(ratio float64) openapi.AdminVariant {
	v := openapi.AdminVariant{
		ID: variant.Name(s.model.Name, ratio), Object: "variant", Ratio: ratio, State: openapi.StateUnloaded,
		Pinned: s.pinned[ratio], Startup: ratio == s.model.Startup,
	}
	shelf, ok := s.shelves[ratio]
	e, reason := s.engine(ratio), s.failures.reasons[ratio]
	switch {
	case e != nil:
		v.State = openapi.StateLoaded
		if v.Startup {
			v.Next = s.next
		}
		v.InUse, v.LastUsedAt, v.Card = e.users, e.used.Unix(), e.card()
	case ok && !shelf.filled():
		v.State, v.Progress = openapi.StateMaking, shelf.progress.String()
	case reason != "":
		v.State, v.Error = openapi.StateFailed, reason
	}
	return v
}

// card describes a loaded variant for clients.
func (e *engine) card() *openapi.Card {
	card := &openapi.Card{
		Ratio: e.built.Ratio, RatioReached: e.built.Reached, KeptMLP: e.built.KeptMLP,
		Parameters: e.built.Parameters, Bytes: e.built.Bytes, ContextTokens: e.Serving.ContextSize(), Digest: e.built.Digest,
		Stage: e.built.Stage,
	}
	if e.speed != nil {
		speed := *e.speed
		card.TTFT, card.ITL, card.OutputTokensPerSec = &speed.TTFTMillis, &speed.ITLMillis, &speed.OutputTokensPerSecond
		card.TTFTSpread, card.ITLSpread, card.MeasuredAt = &speed.TTFTSpread, &speed.ITLSpread, speed.MeasuredAt
		card.Provisional = e.provisional
	}
	if e.cost != nil {
		cost, ratio := *e.cost, e.cost.Ratio()
		card.Perplexity, card.PerplexityRatio = &cost.Perplexity, &ratio
		card.KLToDense, card.Top1Agreement, card.EvalTokens = &cost.KLToDense, &cost.Top1Agreement, cost.Tokens
	}
	if r := e.built.Recovery; r != nil {
		card.Recovery = &openapi.CardRecovery{
			Tokens: r.Tokens, Seconds: r.Elapsed.Seconds(), KLBefore: r.Before.KL, KLAfter: r.After.KL,
			PerplexityBefore: r.Before.Perplexity(), PerplexityAfter: r.After.Perplexity(),
		}
	}
	return card
}
