package llamacpp

import (
	"math/rand/v2"
	"slices"
	"testing"

	"prunellm/infer"
)

// splitEqual counts the passes that llama.cpp's llama_batch_allocr::split_equal makes.
func splitEqual(counts []int, most int) int {
	left, total := slices.Clone(counts), 0
	for {
		from := slices.IndexFunc(left, func(n int) bool { return n > 0 })
		if from < 0 {
			return total
		}
		to := from
		for to < len(left) && left[to] > 0 {
			to++
		}
		n := min(slices.Min(left[from:to]), max(most/(to-from), 1))
		for i := from; i < to; i++ {
			left[i] -= n
		}
		total++
	}
}

func TestPassesAreThoseOfLlamaCpp(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		counts := make([]int, 1+random.IntN(12))
		for i := range counts {
			counts[i] = random.IntN(5)
		}
		if got, want := passes(counts, make([]int, len(counts))), splitEqual(counts, 1<<20); got != want {
			t.Errorf("%v: %d passes, want %d", counts, got, want)
		}
	}
}

func TestFillers(t *testing.T) {
	for name, c := range map[string]struct {
		counts, lengths []int
		room            int
		gpu             bool
		want            []int
	}{
		"side by side":                  {counts: []int{1, 1, 0, 0}, want: []int{0, 0, 0, 0}},
		"a gap":                         {counts: []int{1, 0, 1, 0}, want: []int{0, 1, 0, 0}},
		"two gaps":                      {counts: []int{1, 0, 1, 0, 0, 1}, want: []int{0, 1, 0, 1, 1, 0}},
		"a wide gap":                    {counts: []int{1, 0, 0, 0, 0, 0, 1}, want: []int{0, 0, 0, 0, 0, 0, 0}},
		"a wide gap on a gpu":           {counts: []int{1, 0, 0, 0, 0, 0, 1}, gpu: true, want: []int{0, 1, 1, 1, 1, 1, 0}},
		"no room":                       {counts: []int{1, 0, 0, 1, 0, 1}, room: 1, want: []int{0, 0, 0, 0, 1, 0}},
		"a long one in the gap":         {counts: []int{1, 0, 1}, lengths: []int{200, 256, 100}, want: []int{0, 0, 0}},
		"as long as its neighbour":      {counts: []int{1, 0, 1}, lengths: []int{200, 255, 300}, want: []int{0, 1, 0}},
		"beside a prompt":               {counts: []int{1, 0, 40}, want: []int{0, 0, 0}},
		"around a prompt":               {counts: []int{1, 0, 40, 0, 1}, want: []int{0, 1, 0, 1, 0}},
		"prompts":                       {counts: []int{40, 70, 64}, want: []int{0, 0, 0}},
		"prompts on a gpu":              {counts: []int{40, 70, 64}, gpu: true, want: []int{30, 0, 6}},
		"much shorter prompts":          {counts: []int{40, 170, 64}, gpu: true, want: []int{2, 0, 10}},
		"nearly as long":                {counts: []int{65, 70, 66}, gpu: true, want: []int{5, 0, 4}},
		"beside an answer on a gpu":     {counts: []int{40, 1, 70, 64}, gpu: true, want: []int{0, 0, 0, 6}},
		"at the end of the cells":       {counts: []int{40, 70}, lengths: []int{1000, 100}, gpu: true, want: []int{0, 0}},
		"prompts on a gpu with no room": {counts: []int{40, 70, 64}, room: 3, gpu: true, want: []int{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.lengths == nil {
				c.lengths = slices.Clone(c.counts)
			}
			if c.room == 0 {
				c.room = 400
			}
			extra := make([]int, len(c.counts))
			fillers(c.counts, c.lengths, extra, c.room, 1023, c.gpu)
			if !slices.Equal(extra, c.want) {
				t.Errorf("got %v, want %v", extra, c.want)
			}
		})
	}
}

// Fillers never add a pass, never exceed the room and never exceed a sequence's cells.
func TestFillersCostNothing(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 2))
		n, cells := 1+random.IntN(16), 512
		counts, lengths, extra := make([]int, n), make([]int, n), make([]int, n)
		for i := range counts {
			switch random.IntN(4) {
			case 0, 1:
				counts[i] = 1
			case 2:
				counts[i] = 1 + random.IntN(100)
			}
			lengths[i] = min(counts[i]+random.IntN(cells), cells)
		}
		room := random.IntN(60)
		fillers(counts, lengths, extra, room, cells, seed%2 == 0)
		added := 0
		for i, more := range extra {
			added += more
			if more < 0 || more > 0 && lengths[i]+more > cells {
				t.Fatalf("seed %d: %d fillers after %d tokens", seed, more, lengths[i])
			}
		}
		if added > room {
			t.Fatalf("seed %d: %d fillers for a room of %d", seed, added, room)
		}
		if before, after := passes(counts, make([]int, n)), passes(counts, extra); after > before {
			t.Fatalf("seed %d: %v and %v: %d passes instead of %d", seed, counts, extra, after, before)
		}
	}
}

// A filler in a gap is removed after the step, even from a sequence with a cached prompt.
func TestFillersAreRemoved(t *testing.T) {
	m := open(t, defaultModel(t), Options{ContextSize: 256, Sequences: 3, Threads: 2})
	var kept []infer.Entry
	for i := range 10 {
		kept = append(kept, infer.Entry{Token: infer.Token(100 + i), Position: i, Sequence: 1})
	}
	decode(t, m, kept...)
	for i := range 3 {
		decode(t, m, infer.Entry{Token: 5, Position: i, Logits: true}, infer.Entry{Token: 7, Position: i, Sequence: 2, Logits: true})
		if !slices.Equal(m.extra, []int{0, 1, 0}) {
			t.Fatalf("fillers %v, want one in the gap", m.extra)
		}
		if n := memoryLength(rawContext(m.context), 1); n != 10 || m.SequenceLength(1) != 10 {
			t.Fatalf("the sequence in the gap holds %d tokens, want its 10", n)
		}
		if m.Logits(0) == nil || m.Logits(1) == nil || m.Logits(2) != nil {
			t.Fatal("logits do not belong to the entries")
		}
	}
}
