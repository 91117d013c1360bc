package infer

// Slot describes one sequence of an engine, as of the step that runs.
type Slot struct {
	Busy      bool // a request holds the sequence; the fields below but Cached are 0 otherwise
	Cached    int  // tokens in the sequence's KV cache, kept for later prompts when no request holds it
	Prompt    int  // tokens of the request's prompt
	Prefilled int  // of these, in the KV cache
	Generated int  // tokens of the answer so far
	MaxTokens int  // of the answer
}

// Slots describes all sequences, by their ids. It never waits for a step.
func (e *Engine) Slots() []Slot {
	e.slots.mu.Lock()
	defer e.slots.mu.Unlock()
	return append([]Slot{}, e.slots.all...)
}

// publish shows the loop's sequences to Slots and Stats.
func (l *loop) publish() {
	l.slots.mu.Lock()
	defer l.slots.mu.Unlock()
	for i, s := range l.sequences {
		l.slots.all[i] = Slot{Cached: len(s.tokens)}
	}
	used := 0
	for _, r := range l.running {
		slot := &l.slots.all[r.sequence]
		slot.Busy, slot.Prompt, slot.Prefilled = true, len(r.req.Prompt), r.decoded
		slot.Generated, slot.MaxTokens = r.usage.Completion, r.req.MaxTokens
		used += slot.Cached
	}
	l.counters.cacheUsed.Store(int64(used))
}
