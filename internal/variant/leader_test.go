package variant_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/variant"
	"prunellm/prune"
)

// slowRunner publishes progress, then waits until its gate is closed.
type slowRunner struct {
	*countingRunner
	gate chan struct{}
}

func (r slowRunner) Run(ctx context.Context, job variant.Job, progress func(variant.Progress)) (variant.Outputs, error) {
	progress(variant.Progress{Stage: variant.StageScoring2, Done: 30, Total: 120, Unit: "tokens"})
	select {
	case <-r.gate:
	case <-ctx.Done():
		return variant.Outputs{}, ctx.Err()
	}
	return r.countingRunner.Run(ctx, job, progress)
}

// A waiting replica shows the leader's progress and computes nothing.
func TestWaitingShowsTheLeader(t *testing.T) {
	cache := t.TempDir()
	leader, follower := newWorkshop(t, cache), newWorkshop(t, cache)
	gate, leading, seen := make(chan struct{}), make(chan struct{}), make(chan variant.Progress, 1)
	leader.Runner = slowRunner{leader.runner, gate}
	var both sync.WaitGroup
	defer both.Wait()
	var once sync.Once
	both.Go(func() {
		_, err := leader.Build(t.Context(), spec(0.2), func(variant.Progress) { once.Do(func() { close(leading) }) })
		if err != nil {
			t.Errorf("Build by the leader = %v", err)
		}
	})
	<-leading
	both.Go(func() {
		_, err := follower.Build(t.Context(), spec(0.2), func(p variant.Progress) {
			if p.Leader != "" {
				select {
				case seen <- p:
				default:
				}
			}
		})
		if err != nil {
			t.Errorf("Build by the follower = %v", err)
		}
	})
	select {
	case p := <-seen:
		if want := "waiting for another replica, which is scoring, self-distillation: 25% (stage 3 of 5)"; p.String() != want {
			t.Errorf("progress = %q, want %q", p, want)
		}
	case <-time.After(30 * time.Second):
		t.Error("the follower never shows the leader's progress")
	}
	close(gate)
	both.Wait()
	if follower.passes != 0 || leader.passes != 1 {
		t.Errorf("score passes: leader %d, follower %d, want 1 and 0", leader.passes, follower.passes)
	}
}

// lyingLeaser reports that the lease is held and returns notes of a fake leader until they run out.
type lyingLeaser struct {
	store.Leaser
	notes []string
}

func (l *lyingLeaser) Acquire(ctx context.Context, key store.Key) (store.Lease, bool, error) {
	if len(l.notes) > 0 {
		return nil, false, nil
	}
	return l.Leaser.Acquire(ctx, key)
}

func (l *lyingLeaser) Progress(context.Context, store.Key) ([]byte, error) {
	note := l.notes[0]
	l.notes = l.notes[1:]
	return []byte(note), nil
}

// Another process writes the leader's notes, so the builder shows only known stages and valid counts.
func TestLeaderIsNotTrusted(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	evil, err := json.Marshal(variant.Progress{Stage: "pay\n\x1b[31m"})
	if err != nil {
		t.Fatal(err)
	}
	w.Leaser = &lyingLeaser{Leaser: w.Leaser, notes: []string{string(evil), `{"stage":"scoring","done":-5}`, "[]", "", `{"stage":"scoring","elapsed":-1}`, `{"stage":"downloading"}`}}
	_, err = w.Build(t.Context(), spec(0.2), func(p variant.Progress) {
		if p.Stage == variant.StageWaiting && (p.Leader != "" || p.Done != 0 || strings.ContainsAny(p.String(), "\n\x1b")) {
			t.Errorf("progress %+v is shown", p)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The leader's place among all stages is shown only if it is possible.
func TestPlaceOfALeaderIsNotTrusted(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	w.Leaser = &lyingLeaser{Leaser: w.Leaser, notes: []string{
		`{"stage":"scoring","step":5,"steps":2}`, `{"stage":"scoring","step":-1,"steps":2}`, `{"stage":"scoring","step":1,"steps":1000}`, `{"stage":"scoring","left":-1}`,
	}}
	_, err := w.Build(t.Context(), spec(0.2), func(p variant.Progress) {
		if p.Stage == variant.StageWaiting && (p.Leader != variant.StageScoring1 || p.Step != 0 || p.Steps != 0 || p.Left != 0) {
			t.Errorf("progress %+v is shown", p)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Waiting replicas show every stage that runs under a lease, with its unit.
func TestEveryStageOfALeaderIsShown(t *testing.T) {
	for stage, unit := range map[variant.Stage]string{
		variant.StageCalibrating: "tokens", variant.StageScoring1: "tokens", variant.StageScoring2: "tokens",
		variant.StageRefitting: "layers", variant.StageRecovering: "seconds",
	} {
		w := newWorkshop(t, t.TempDir())
		note, err := json.Marshal(variant.Progress{Stage: stage, Done: 3, Total: 12, Unit: unit})
		if err != nil {
			t.Fatal(err)
		}
		w.Leaser = &lyingLeaser{Leaser: w.Leaser, notes: []string{string(note)}}
		var shown variant.Progress
		if _, err = w.Build(t.Context(), spec(0.2), func(p variant.Progress) {
			if p.Stage == variant.StageWaiting {
				shown = p
			}
		}); err != nil {
			t.Fatal(err)
		}
		if shown.Leader != stage || shown.Done != 3 || shown.Total != 12 || shown.Unit != unit {
			t.Errorf("%s: shown as %+v", stage, shown)
		}
	}
}

// PlanRatio recognizes the plans of a recipe by their keys.
func TestPlanRatio(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	built := w.build(t, spec(0.2))
	digest, err := w.Model.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.Store.List(t.Context(), digest, store.KindPlan)
	if err != nil || len(keys) != 1 {
		t.Fatalf("plans stored: %v, %v", keys, err)
	}
	own, budget, recipe := spec(0.4), spec(0.4), spec(0.4)
	budget.Budget = prune.Global
	recipe.Recipe.Seed++
	if ratio, ok := own.PlanRatio(keys[0]); !ok || ratio != built.Ratio {
		t.Errorf("PlanRatio = %v, %t, want %v", ratio, ok, built.Ratio)
	}
	for name, s := range map[string]variant.Spec{"budget": budget, "recipe": recipe} {
		if ratio, ok := s.PlanRatio(keys[0]); ok {
			t.Errorf("PlanRatio with another %s = %v", name, ratio)
		}
	}
	for _, detail := range []string{"", "-uniform", "2-uniform", "nan-uniform", "0x1p-2-uniform", "0.20-uniform", "0-uniform", "0.2"} {
		key := keys[0]
		key.Detail = detail
		if ratio, ok := own.PlanRatio(key); ok {
			t.Errorf("PlanRatio of detail %q = %v", detail, ratio)
		}
	}
}
