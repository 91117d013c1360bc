package catalog

import (
	"cmp"
	"slices"
	"time"
)

// Limits bound what a catalog makes and loads. Their methods are pure functions that decide what may be made and what
// must be unloaded.
type Limits struct {
	MaxLoaded    int           // engines kept loaded; less than 1 means 1. Engines in use are never unloaded.
	MaxWaiting   int           // number of variants that may wait while one is being made
	MaxMade      int           // number of variants made or found, not counting the dense and the startup variant; 0: no limit
	MemoryBudget int64         // total bytes of all loaded engines, as Work.Memory counts them; 0: no limit
	IdleTimeout  time.Duration // an engine unused for this long is unloaded; 0: never
}

// resident is what Limits need to know about a loaded engine.
type resident struct {
	digest  string    // of the variant's file
	bytes   int64     // of memory
	users   int       // requests that hold it
	used    time.Time // when a request last took or released it
	fixed   bool      // whether it stays loaded: the startup variant or a pinned one
	standIn bool      // whether it is the dense model in place of the startup variant, which stays loaded and takes no place
}

// evictable reports whether the engine can be unloaded now.
func (r resident) evictable() bool { return r.users == 0 && !r.fixed && !r.standIn }

// places returns the number of engines that may be loaded.
func (l Limits) places() int { return max(1, l.MaxLoaded) }

// fits reports whether an engine of this size may be loaded in addition to the residents. It always fits if there are
// none.
func (l Limits) fits(residents []resident, bytes int64) bool {
	count := 0
	for _, r := range residents {
		if !r.standIn {
			count++
			bytes += r.bytes
		}
	}
	return count == 0 || count < l.places() && (l.MemoryBudget <= 0 || bytes <= l.MemoryBudget)
}

// leastRecent returns the digest of the least recently used evictable engine. ok is false if there is none.
func leastRecent(residents []resident) (digest string, ok bool) {
	evictable := slices.DeleteFunc(slices.Clone(residents), func(r resident) bool { return !r.evictable() })
	if len(evictable) == 0 {
		return "", false
	}
	return slices.MinFunc(evictable, func(a, b resident) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.digest, b.digest))
	}).digest, true
}

// expired returns the digests of the evictable engines whose idle timeout has passed, in the order of residents.
func (l Limits) expired(residents []resident, now time.Time) (digests []string) {
	for _, r := range residents {
		if r.evictable() && now.Sub(r.used) >= l.IdleTimeout {
			digests = append(digests, r.digest)
		}
	}
	slices.Sort(digests)
	return digests
}

// hasPlace reports whether a variant can ever be loaded. It can if it is one of the reserved variants or if these leave
// a place. reserved may name a variant twice.
func (l Limits) hasPlace(reserved []string, wanted string) bool {
	if slices.Contains(reserved, wanted) {
		return true
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(reserved)))
	return len(distinct) < l.places()
}

// mayMake reports whether another variant may be made. made is the number of variants so far, not counting the dense
// and the startup variant.
func (l Limits) mayMake(made int) bool { return l.MaxMade <= 0 || made < l.MaxMade }
