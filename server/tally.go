package server

import (
	"time"

	"prunellm/infer"
	"prunellm/openapi"
)

// tally counts the tokens of a job and records when they arrived. It belongs to the goroutine that consumes the events.
type tally struct {
	n         int           // choices per prompt
	predicted bool          // the request has a prediction
	usage     []infer.Usage // per choice, so far
	reason    []infer.FinishReason
	last      []time.Time // when each choice last produced a token
	seen      []bool      // which choices have produced a chunk
	started   time.Time
	first     time.Duration // time to the first token of any choice
}

func newTally(started time.Time, choices, n int) *tally {
	return &tally{
		n: n, started: started, seen: make([]bool, choices), usage: make([]infer.Usage, choices),
		reason: make([]infer.FinishReason, choices), last: make([]time.Time, choices),
	}
}

// add counts a chunk.
func (t *tally) add(e event, now time.Time, m *metrics) {
	if !t.seen[e.choice] {
		t.seen[e.choice] = true
		m.queueTime.Observe(e.chunk.Queued.Seconds())
		m.prefixQueries.Add(float64(e.chunk.Usage.Prompt))
		m.prefixHits.Add(float64(e.chunk.Usage.Cached))
	}
	m.drafted.Add(float64(e.chunk.Usage.Drafted - t.usage[e.choice].Drafted))
	m.accepted.Add(float64(e.chunk.Usage.Accepted - t.usage[e.choice].Accepted))
	tokens := e.chunk.Usage.Completion - t.usage[e.choice].Completion
	t.usage[e.choice] = e.chunk.Usage
	t.reason[e.choice] = e.chunk.Finish
	if tokens <= 0 {
		return
	}
	if t.first == 0 {
		t.first = now.Sub(t.started)
		m.firstToken.Observe(t.first.Seconds())
	}
	if !t.last[e.choice].IsZero() {
		each := now.Sub(t.last[e.choice]).Seconds() / float64(tokens)
		for range tokens {
			m.interToken.Observe(each)
		}
	}
	t.last[e.choice] = now
}

// complete reports whether every choice has finished.
func (t *tally) complete() bool {
	for _, reason := range t.reason {
		if reason == "" {
			return false
		}
	}
	return true
}

// total returns the usage over all choices. Each prompt counts once, even with several choices.
func (t *tally) total() openapi.Usage {
	var total openapi.Usage
	for i, usage := range t.usage {
		total.CompletionTokens += usage.Completion
		total.CompletionTokensDetails.ReasoningTokens += usage.Thinking
		if t.predicted {
			total.CompletionTokensDetails.Accepted += usage.Accepted
			total.CompletionTokensDetails.Rejected += usage.Drafted - usage.Accepted
		}
		if i%t.n == 0 {
			total.PromptTokens += usage.Prompt
			total.PromptTokensDetails.CachedTokens += usage.Cached
		}
	}
	total.TotalTokens = total.PromptTokens + total.CompletionTokens
	return total
}

// record adds the job to the metrics. The tokens of a disconnected client count too.
func (t *tally) record(m *metrics) {
	total := t.total()
	m.promptTokens.Add(float64(total.PromptTokens))
	m.generationTokens.Add(float64(total.CompletionTokens))
	if !t.complete() {
		return
	}
	m.endToEnd.Observe(time.Since(t.started).Seconds())
	for _, reason := range t.reason {
		m.success.WithLabelValues(string(reason)).Inc()
	}
}
