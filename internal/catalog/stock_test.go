package catalog

import (
	"cmp"
	"slices"
	"testing"

	"prunellm/internal/variant"
)

// stocked returns a stock of model m with a loaded engine for each ratio.
func stocked(model Model, ratios ...float64) *stock {
	s := newStock(model)
	for _, ratio := range ratios {
		built := variant.Built{Model: model.Name, Ratio: ratio, Digest: variant.Name("", ratio)}
		e := &engine{Loaded: Loaded{Engine: &fakeEngine{done: make(chan struct{})}}, built: built}
		s.shelves[ratio] = &shelf{ratio: ratio, done: make(chan struct{}), engine: e}
		s.loaded[built.Digest] = e
	}
	return &s
}

func TestStockEngine(t *testing.T) {
	s := stocked(Model{Name: "m", Startup: 0.2}, 0.2, 0.3, 0.4)
	s.shelves[0.5] = &shelf{ratio: 0.5, done: make(chan struct{})}
	close(s.shelves[0.3].engine.Loaded.Engine.(*fakeEngine).done)
	s.evict(s.shelves[0.4].engine)
	for ratio, want := range map[float64]bool{0.2: true, 0.3: false, 0.4: false, 0.5: false, 0.6: false} {
		if got := s.engine(ratio) != nil; got != want {
			t.Errorf("engine(%v) found: %t, want %t (0.3 failed, 0.4 is evicted, 0.5 is being made)", ratio, got, want)
		}
	}
}

func TestStockResidents(t *testing.T) {
	for name, c := range map[string]struct {
		model          Model
		ratios         []float64
		pinned         float64
		fixed, standIn []string
	}{
		"the startup variant stays": {Model{Startup: 0.2}, []float64{0.2, 0.3}, -1, []string{"@0.2"}, nil},
		"a pinned variant stays":    {Model{Startup: 0.2}, []float64{0.2, 0.3, 0.4}, 0.4, []string{"@0.2", "@0.4"}, nil},
		"the dense model stands in": {Model{Startup: 0.2, ServeDense: true}, []float64{0, 0.3}, -1, nil, []string{"@0"}},
		"and no longer":             {Model{Startup: 0.2, ServeDense: true}, []float64{0, 0.2}, -1, []string{"@0.2"}, nil},
		"nor when it must wait":     {Model{Startup: 0.2}, []float64{0, 0.3}, -1, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := stocked(c.model, c.ratios...)
			s.pinned[c.pinned] = true
			var fixed, standIn []string
			residents := s.residents()
			slices.SortFunc(residents, func(a, b resident) int { return cmp.Compare(a.digest, b.digest) })
			for _, r := range residents {
				if r.fixed {
					fixed = append(fixed, r.digest)
				}
				if r.standIn {
					standIn = append(standIn, r.digest)
				}
			}
			if len(residents) != len(c.ratios) || !slices.Equal(fixed, c.fixed) || !slices.Equal(standIn, c.standIn) {
				t.Errorf("residents = %+v: fixed %v, want %v; standing in %v, want %v", residents, fixed, c.fixed, standIn, c.standIn)
			}
		})
	}
}

// An engine that two ratios share stays loaded if one of them gets another file.
func TestStockExchange(t *testing.T) {
	s := stocked(Model{Name: "m", Startup: 0.2}, 0.2, 0.3)
	old := s.shelves[0.2].engine
	s.shelves[0.2001] = &shelf{ratio: 0.2001, done: make(chan struct{}), engine: old}
	old.users = 1
	next := &engine{Loaded: Loaded{Engine: &fakeEngine{done: make(chan struct{})}}, built: variant.Built{Ratio: 0.2, Digest: "next"}}
	if got, idle, err := s.exchange(0.2, next); err != nil || got != old || idle || old.evicted || s.engine(0.2) != next {
		t.Errorf("exchange of a shared engine: idle %t, evicted %t, %v", idle, old.evicted, err)
	}
	again := &engine{Loaded: Loaded{Engine: &fakeEngine{done: make(chan struct{})}}, built: variant.Built{Ratio: 0.2001, Digest: "again"}}
	if _, idle, err := s.exchange(0.2001, again); err != nil || idle || !old.evicted || s.engine(0.2001) != again {
		t.Errorf("exchange of an engine in use: idle %t, evicted %t, %v; want it evicted and its user to close it", idle, old.evicted, err)
	}
	if _, _, err := s.exchange(0.9, &engine{built: variant.Built{Ratio: 0.9}}); err == nil {
		t.Error("exchange for a ratio that is not loaded gives no error")
	}
}
