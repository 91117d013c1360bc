package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"prunellm/infer"
	"prunellm/internal/polltest"
	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEngine records whether it was closed, and whether it was closed while in use.
type fakeEngine struct {
	running, queued atomic.Int32
	digest          string
	closed          atomic.Bool
	done            chan struct{}
}

func (f *fakeEngine) Submit(context.Context, infer.Request) (infer.Generation, error) {
	return nil, infer.ErrEngine
}
func (f *fakeEngine) SubmitN(context.Context, infer.Request, int) ([]infer.Generation, error) {
	return nil, infer.ErrEngine
}
func (f *fakeEngine) Embed(context.Context, [][]infer.Token) ([][]float32, infer.Usage, error) {
	return nil, infer.Usage{}, infer.ErrEngine
}
func (f *fakeEngine) CheckGrammar(string) error                          { return nil }
func (f *fakeEngine) PatternGrammar(string) (string, error)              { return "", nil }
func (f *fakeEngine) SchemaGrammar([]byte, bool) (string, error)         { return "", nil }
func (f *fakeEngine) Tokenize(string, bool, bool) ([]infer.Token, error) { return nil, nil }
func (f *fakeEngine) Piece(infer.Token, bool) []byte                     { return nil }
func (f *fakeEngine) VocabSize() int                                     { return 1 }
func (f *fakeEngine) ContextSize() int                                   { return 16 }
func (f *fakeEngine) Info() infer.Info                                   { return infer.Info{Sequences: 2} }
func (f *fakeEngine) Stats() infer.Stats {
	return infer.Stats{Running: int(f.running.Load()), Queued: int(f.queued.Load()), CacheTokens: 3 * int(f.running.Load()), CacheSize: 32}
}
func (f *fakeEngine) Slots() []infer.Slot   { return []infer.Slot{{Busy: f.running.Load() > 0}, {}} }
func (f *fakeEngine) Done() <-chan struct{} { return f.done }
func (f *fakeEngine) Close(context.Context) error {
	if f.closed.Swap(true) {
		return errors.New("closed twice")
	}
	return nil
}

// bench is a catalog with fake engines. Tests can hold up its builds.
type bench struct {
	*Catalog
	builds  atomic.Int32
	gate    chan struct{} // builds wait until it is closed
	failing atomic.Bool
	mu      sync.Mutex
	engines []*fakeEngine
}

func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	b := &bench{gate: make(chan struct{})}
	options := Options{
		Model: Model{Name: "m", Startup: 0.2}, Limits: Limits{MaxLoaded: 2, MaxWaiting: 4}, Log: slog.New(slog.DiscardHandler),
	}
	options.Work = Work{
		Build: func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error) {
			b.builds.Add(1)
			progress(variant.Progress{Stage: variant.StageScoring1, Done: 1, Total: 2})
			select {
			case <-b.gate:
			case <-ctx.Done():
				return variant.Built{}, ctx.Err()
			}
			if b.failing.Load() {
				return variant.Built{}, errors.New("no gradients today")
			}
			// Ratios that agree to three decimals keep the same neurons.
			return variant.Built{Model: "m", Ratio: ratio, Digest: fmt.Sprintf("%.3f", ratio)}, nil
		},
		Load: func(_ context.Context, built variant.Built) (Loaded, error) {
			e := &fakeEngine{digest: built.Digest, done: make(chan struct{})}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.engines = append(b.engines, e)
			return Loaded{Engine: e, Serving: server.Engine{Generator: e, Grammars: e, Vocabulary: e, Embedder: e, HiddenSize: 1}}, nil
		},
	}
	if change != nil {
		change(&options)
	}
	b.Catalog = New(options)
	b.measurer.quiet.next = time.Millisecond
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Errorf("Close = %v", err)
		}
		for _, e := range b.engines {
			if !e.closed.Load() {
				t.Errorf("engine %s is still open after Close", e.digest)
			}
		}
	})
	return b
}

func at(ratio float64) openapi.ModelName {
	return openapi.ModelName{Base: "m", Ratio: ratio, Explicit: true}
}

func (b *bench) acquireNow(t *testing.T, name openapi.ModelName) *server.Variant {
	t.Helper()
	held, err := b.Acquire(t.Context(), name)
	if err != nil {
		t.Fatalf("Acquire(%v) = %v", name, err)
	}
	return held
}

// loadedNow returns the engine that answers for a ratio.
func (b *bench) loadedNow(ratio float64) *engine {
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	return b.state.engine(ratio)
}

func (b *bench) waitReady(t *testing.T) {
	t.Helper()
	polltest.Within(t, 10*time.Second, func() error {
		if status := b.Status(); !status.Ready {
			return fmt.Errorf("not ready: %+v", status)
		}
		return nil
	})
}

func TestStartupVariant(t *testing.T) {
	b := newBench(t, nil)
	b.Start(t.Context())
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), openapi.ModelName{Base: "m"}); !errors.As(err, &notReady) {
		t.Fatalf("Acquire before ready = %v, want a NotReadyError", err)
	}
	close(b.gate)
	b.waitReady(t)
	for _, name := range []openapi.ModelName{{Base: "m"}, {Base: openapi.AnyModel}, {}, at(0.2)} {
		held := b.acquireNow(t, name)
		if held.Name != "m@0.2" {
			t.Errorf("Acquire(%v) = %s, want m@0.2", name, held.Name)
		}
		held.Release()
	}
	if _, err := b.Acquire(t.Context(), openapi.ModelName{Base: "other"}); !errors.Is(err, server.ErrModelNotFound) {
		t.Errorf("Acquire(other) = %v, want ErrModelNotFound", err)
	}
	if list := b.List(); list[0].ID != "m" || list[0].Card == nil || list[1].ID != "m@0" || list[2].ID != "m@0.2" {
		t.Errorf("List = %+v, want m, m@0, m@0.2", list)
	}
}

// denseReady is a change of options for newBench: the dense model is there at once, while the other variants wait for the gate.
func denseReady(o *Options) {
	o.Model.ServeDense = true
	build := o.Work.Build
	o.Work.Build = func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error) {
		if ratio == 0 {
			return variant.Built{Model: "m", Digest: "dense"}, nil
		}
		return build(ctx, ratio, progress)
	}
}

func TestDenseAnswersMeanwhile(t *testing.T) {
	b := newBench(t, denseReady)
	b.Start(t.Context())
	b.waitReady(t)
	held := b.acquireNow(t, openapi.ModelName{Base: "m"})
	if held.Name != "m@0" {
		t.Errorf("while the variant is being pruned %s answers, want m@0", held.Name)
	}
	held.Release()
	polltest.Within(t, 30*time.Second, func() error {
		if status := b.Status(); !strings.Contains(status.Progress, "scoring: 50%") {
			return fmt.Errorf("Status = %+v, want ready with the progress of the pruned variant", status)
		}
		return nil
	})
	if status := b.Status(); !status.Ready {
		t.Errorf("Status = %+v, want ready", status)
	}
	close(b.gate)
	deadline := time.Now().Add(10 * time.Second)
	for name := ""; name != "m@0.2"; {
		held := b.acquireNow(t, openapi.ModelName{Base: "m"})
		name = held.Name
		held.Release()
		if time.Now().After(deadline) {
			t.Fatal("requests do not move to the pruned variant")
		}
	}
	if status := b.Status(); status != (server.Status{Ready: true}) {
		t.Errorf("Status = %+v, want ready and no progress", status)
	}
}

// A variant that another replica has made is listed. It is made here at the first request for it.
func TestOffer(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	if b.Offer(0.2) {
		t.Error("Offer reports that the startup ratio is new")
	}
	if !b.Offer(0.3) || b.Offer(0.3) {
		t.Error("Offer must report a further ratio as new the first time and only then")
	}
	var ids []string
	for _, m := range b.List() {
		ids = append(ids, m.ID)
	}
	if want := []string{"m", "m@0", "m@0.2", "m@0.3"}; !slices.Equal(ids, want) {
		t.Errorf("List = %v, want %v", ids, want)
	}
	if n := b.builds.Load(); n != 1 {
		t.Errorf("builds = %d, want only the startup variant", n)
	}
	b.acquireNow(t, at(0.3)).Release()
	for i := range 1000 {
		b.Offer(0.5 + float64(i)/10000)
	}
	if n := len(b.List()); n > 100 {
		t.Errorf("%d variants are listed after a thousand offers", n)
	}
}

// A variant is made once, no matter how many requests want it at the same time. Ratios that keep the same neurons share
// one engine.
func TestSingleFlightAndSharedEngines(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() { b.acquireNow(t, at(0.3)).Release() })
	}
	wait.Wait()
	if n := b.builds.Load(); n != 1 {
		t.Errorf("builds = %d, want 1", n)
	}
	b.acquireNow(t, at(0.30000001)).Release()
	if len(b.engines) != 1 {
		t.Errorf("engines for 0.3 and 0.30000001 = %d, want 1", len(b.engines))
	}
}

// The least recently used engine is evicted; an engine in use never is.
func TestMakeRoom(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	first := b.acquireNow(t, at(0.3))
	b.acquireNow(t, at(0.4)).Release()
	b.acquireNow(t, at(0.5)).Release()
	if !b.engines[1].closed.Load() || b.engines[0].closed.Load() {
		t.Fatal("0.4 must be evicted for 0.5, because 0.3 is in use")
	}
	second := b.acquireNow(t, at(0.5))
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.6)); !errors.As(err, &notReady) {
		t.Errorf("Acquire with all engines in use = %v, want a NotReadyError", err)
	}
	first.Release()
	second.Release()
	b.acquireNow(t, at(0.4)).Release()
}

// A failed engine is replaced. It is closed only when its last user releases it.
func TestFailedEngine(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	held := b.acquireNow(t, at(0.3))
	close(b.engines[0].done)
	again := b.acquireNow(t, at(0.3))
	if len(b.engines) != 2 || b.engines[0].closed.Load() {
		t.Fatalf("%d engines, first closed %t, want a second one and the first open while used", len(b.engines), b.engines[0].closed.Load())
	}
	held.Release()
	if !b.engines[0].closed.Load() {
		t.Error("the failed engine is still open after its last user released it")
	}
	again.Release()
}

func TestFailedBuildIsTriedAgain(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	b.failing.Store(true)
	if _, err := b.Acquire(t.Context(), at(0.3)); err == nil || err.Error() != "no gradients today" {
		t.Fatalf("Acquire = %v, want the build's error", err)
	}
	b.failing.Store(false)
	b.acquireNow(t, at(0.3)).Release()
}

// The catalog retries a startup variant that cannot be made, and meanwhile the status says why it is missing.
func TestFailedStartupIsExplained(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	b.failing.Store(true)
	b.Start(t.Context())
	polltest.Within(t, 10*time.Second, func() error {
		if status := b.Status(); !strings.Contains(status.Progress, "no gradients today") {
			return fmt.Errorf("Status = %+v, want the failure's reason", status)
		}
		return nil
	})
	// Once the variant is loaded, the status drops the old reason. If the engine fails later and cannot be replaced,
	// only the new reason counts.
	b.failing.Store(false)
	if _, err := b.Make(0.2); err != nil {
		t.Fatal(err)
	}
	b.waitReady(t)
	b.failing.Store(true)
	close(b.engines[0].done)
	if _, err := b.wait(t.Context(), 0.2); err == nil {
		t.Fatal("a failing build gave a variant")
	}
	if got := b.Status().Progress; !strings.Contains(got, "no gradients today") || strings.Contains(got, "the next one begins") {
		t.Errorf("Status = %q, want the failure and no announcement of another attempt", got)
	}
}

func TestWaitersAreBoundedAndLeave(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.MaxWaiting = 0 })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := b.Acquire(ctx, at(0.3))
		left <- err
	}()
	polltest.Within(t, 10*time.Second, func() error {
		if b.builds.Load() == 0 {
			return errors.New("no build has begun")
		}
		return nil
	})
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.4)); !errors.As(err, &notReady) {
		t.Errorf("Acquire beyond the queue = %v, want a NotReadyError", err)
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire of a client that has disconnected = %v, want context.Canceled", err)
	}
}
