package catalog

import "time"

// activity counts running work, because a speed may be measured only while nothing else runs.
type activity struct {
	requests  int // requests that hold a variant
	measuring int // speed measurements that run
	making    int // builds and loads that run or wait
	begun     int // requests and builds that have begun so far
}

// request records that a request begins to hold a variant.
func (a *activity) request() { a.requests, a.begun = a.requests+1, a.begun+1 }

// build records that making a variant begins.
func (a *activity) build() { a.making, a.begun = a.making+1, a.begun+1 }

// inUse reports whether background work must yield: a request or a measurement runs.
func (a *activity) inUse() bool { return a.requests+a.measuring > 0 }

// alone reports whether exactly one request runs and nothing else.
func (a *activity) alone() bool { return a.requests == 1 && a.measuring+a.making == 0 }

// quiet reports whether a measurement may begin. A measurement does not count as a request, so that its engine can be
// evicted for one that a client waits for.
func (a *activity) quiet() bool { return a.requests == 0 && a.making == 0 }

// undisturbed reports whether no request or build has begun since a.begun had the value begun.
func (a *activity) undisturbed(begun int) bool { return a.begun == begun }

// backoff gives the pauses between attempts. Each is twice as long as the previous one, but at most most.
type backoff struct{ next, most time.Duration }

// pause returns the pause before the next attempt.
func (b *backoff) pause() time.Duration {
	pause := b.next
	b.next = min(2*b.next, b.most)
	return pause
}
