package infer

import "time"

// This file has the decisions of the scheduler. Its functions have no side effects.

// longPrompt is the number of steps from which a prompt is so long that answers do not wait for it.
const longPrompt = 4

// want is what one running request could put into the next batch.
type want struct {
	prompt int // prompt tokens not decoded yet; 0 once it generates and wants exactly one entry
}

// planStep sets grants to the number of entries that each request gets in the next batch. wants are in order of arrival;
// grants has the same length.
//
//   - Generating requests get their one entry first, so that they do not wait for prompts. The exception is a burst of short
//     prompts (see hold); held is the number of prompt tokens decoded since their last entry.
//   - The prompts share the rest: at most alone entries, and with generating requests at most sharedBudget.
//   - The prompt with the fewest tokens left comes first, among equals the earliest. This minimises the mean time to first
//     token.
//   - The earliest prompt always gets a quarter, so that a long prompt does not wait for every later short one.
//   - A step that ends a prompt gives a prompt of several steps no more than that quarter, so that the short prompt's first
//     token comes soon.
func planStep(wants []want, batch, alone, shared, held int, grants []int) {
	generating, prefilling, earliest, shortest := 0, 0, -1, 0
	for i, w := range wants {
		grants[i] = 0
		if w.prompt > 0 {
			if prefilling == 0 {
				earliest, shortest = i, w.prompt
			}
			shortest = min(shortest, w.prompt)
			prefilling++
		} else if generating < batch {
			grants[i] = 1
			generating++
		}
	}
	if earliest < 0 {
		return
	}
	if hold(generating, prefilling, held, alone) && shortest <= longPrompt*alone {
		generating = 0
		for i := range grants {
			grants[i] = 0
		}
	}
	budget := min(max(sharedBudget(generating, prefilling, alone, shared), 1), batch-generating)
	quarter := (budget + 3) / 4
	grants[earliest] = min(wants[earliest].prompt, quarter)
	budget -= grants[earliest]
	ends := grants[earliest] == wants[earliest].prompt // a prompt
	for budget > 0 {
		next := -1
		for i, w := range wants {
			if left := w.prompt - grants[i]; w.prompt > 0 && left > 0 && (next < 0 || left < wants[next].prompt-grants[next]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		left := wants[next].prompt - grants[next]
		if ends && left > alone {
			grants[next] = max(grants[next], min(quarter, budget))
			return
		}
		more := min(left, budget)
		ends = ends || more == left
		grants[next] += more
		budget -= more
	}
}

// planAnswers is planStep for a step without prompts.
func planAnswers(wants []want, batch int, grants []int) {
	for i, w := range wants {
		grants[i] = 0
		if w.prompt == 0 && batch > 0 {
			grants[i] = 1
			batch--
		}
	}
}

// answersAlone reports whether the answers get a step without prompts. They do while they are owed time (see answersOwed),
// unless a prompt waits that one step would end.
func answersAlone(wants []want, owed time.Duration, alone int) bool {
	generating, prefilling := 0, 0
	for _, w := range wants {
		switch {
		case w.prompt == 0:
			generating++
		case w.prompt <= alone:
			return false
		default:
			prefilling++
		}
	}
	return owed > 0 && generating > 0 && prefilling > 0
}

// answersOwed returns how long the answers may decode alone after a step with these grants that took the time took. A step
// with hundreds of tokens of a long prompt takes as long as a hundred tokens of an answer. Answers therefore get an eighth
// of its time for themselves. A short answer then ends after one such step, instead of one for each of its tokens.
func answersOwed(owed, took time.Duration, wants []want, grants []int) time.Duration {
	prompts := false
	for i, w := range wants {
		prompts = prompts || w.prompt > 0 && grants[i] > 0
	}
	if prompts {
		return took / 8
	}
	return owed - took
}

// hold reports whether running answers wait for prompts. A step for two answers takes nearly as long as one for eight. The first
// requests of a burst should therefore not generate alone while the others' prompts wait. Answers continue when two thirds of the
// requests generate, one prompt is left, or two steps of prompts have passed.
func hold(generating, prefilling, held, alone int) bool {
	return generating > 0 && prefilling > 1 && 2*prefilling > generating && held < 2*alone
}

// heldAfter returns held after a step with these grants. It is 0 if each answer got its token or no request generates.
func heldAfter(held int, wants []want, grants []int) int {
	waits := false
	for i, w := range wants {
		switch {
		case w.prompt > 0:
			held += grants[i]
		case grants[i] > 0:
			return 0
		default:
			waits = true
		}
	}
	if !waits {
		return 0
	}
	return held
}

// sharedBudget returns the number of prompt tokens in a step. It balances the inter-token latency of running answers against the
// time to first token of waiting requests. Each of these also waits for the prompts before it. The budget is shared tokens, times
// the square of the prompts per answer if that is above 1, and at most alone.
func sharedBudget(generating, prefilling, alone, shared int) int {
	if generating == 0 {
		return alone
	}
	return min(max(shared, shared*prefilling*prefilling/generating), max(alone, shared))
}

// cacheState is a sequence as chooseSequence sees it.
type cacheState struct {
	tokens []Token // in its cache
	busy   bool
	used   uint64 // step of its last use
}

// choice is a sequence for a request.
type choice struct {
	sequence int // to run on; -1 when all are busy
	reuse    int // leading tokens of the prompt in its cache, after the copy if there is one
	copyFrom int // busy or free sequence to copy first; -1: none
}

// chooseSequence picks the free sequence with the longest common prefix with the prompt. Among equals it prefers the one that
// leaves the busy sequences in the fewest runs, because llama.cpp computes each run of neighbours separately. Among these it takes
// the least recently used one. If another sequence shares at least copyAtLeast tokens more (0 or less: never), a copy of it
// overwrites the least recently used one. At least one token of the prompt is always left to decode.
func chooseSequence(states []cacheState, prompt []Token, copyAtLeast int) choice {
	best := choice{sequence: -1, copyFrom: -1}
	bestRuns, oldest, longest, longestAt := 0, -1, 0, -1
	for i, s := range states {
		prefix := commonPrefix(s.tokens, prompt[:len(prompt)-1])
		if prefix > longest {
			longest, longestAt = prefix, i
		}
		if s.busy {
			continue
		}
		runs := addedRuns(states, i)
		if best.sequence < 0 || prefix > best.reuse || (prefix == best.reuse &&
			(runs < bestRuns || (runs == bestRuns && s.used < states[best.sequence].used))) {
			best.sequence, best.reuse, bestRuns = i, prefix, runs
		}
		if oldest < 0 || s.used < states[oldest].used {
			oldest = i
		}
	}
	if best.sequence >= 0 && copyAtLeast > 0 && longest-best.reuse >= copyAtLeast {
		return choice{sequence: oldest, reuse: longest, copyFrom: longestAt}
	}
	return best
}

// addedRuns returns how much the number of runs of busy sequences grows when sequence i becomes busy: 1 without busy
// neighbours, 0 with one, -1 between two.
func addedRuns(states []cacheState, i int) int {
	runs := 1
	if i > 0 && states[i-1].busy {
		runs--
	}
	if i+1 < len(states) && states[i+1].busy {
		runs--
	}
	return runs
}

func commonPrefix(a, b []Token) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
