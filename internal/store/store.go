package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// FormatVersion is part of every stored key. A new format gets a new number, so that old entries are not found.
const FormatVersion = 1

// The limits of stored values bound the memory that a hostile or damaged store can make a process allocate.
const (
	MaxValueBytes    = 4 << 30 // largest value of any store, bytes
	MaxProgressBytes = 4 << 10 // largest progress note of a lease, bytes
	maxRecipeBytes   = 96
	maxDetailBytes   = 128
	maxKindBytes     = 24
	modelDigestBytes = 64 // sha256 in hex
)

// ErrNotFound is returned by Get if the store has no usable entry for the key.
var ErrNotFound = errors.New("no such entry")

// ErrCorrupt is wrapped by the error of Get for an entry that does not match its checksum or header. The store has
// deleted and counted the entry. ErrCorrupt wraps ErrNotFound, for callers that only need to know whether to compute.
var ErrCorrupt = fmt.Errorf("entry is corrupt: %w", ErrNotFound)

// ErrUnavailable is wrapped by errors for a store that is unreachable or does not respond in time. A retry may succeed.
var ErrUnavailable = errors.New("store unavailable")

// ErrStaleLease is wrapped by the error of Lease.Put if another replica has taken over the lease.
var ErrStaleLease = errors.New("lease was taken over by another replica")

// Kind is the type of a stored value.
type Kind string

// The kinds of values that replicas share. All but KindDown and KindRecovered are small.
const (
	KindCalibration Kind = "calibration" // tokens for the scores and the refit
	KindScores      Kind = "scores"      // importance, float32[layers, neurons]
	KindPlan        Kind = "plan"        // one bit per neuron, which says whether to keep it
	KindDown        Kind = "down"        // refitted down projections; large
	KindRecovered   Kind = "recovered"   // trained weights; as large as the trained tensors
	KindCard        Kind = "card"        // quality of a variant, JSON
)

// large reports whether a value of the kind may take most of a store.
func (k Kind) large() bool { return k == KindDown || k == KindRecovered }

// Kinds returns all kinds of values in the order in which they are computed.
func Kinds() []Kind {
	return []Kind{KindCalibration, KindScores, KindPlan, KindDown, KindRecovered, KindCard}
}

// Key names a stored value. Its fields come from digests and command lines, so a store calls Validate before it turns
// them into a file name or a Redis key.
type Key struct {
	Model  string // sha256 of the dense file, 64 lower-case hex digits
	Kind   Kind
	Recipe string // digest of everything that decides the scores
	Detail string // further settings of the value, for instance "0.2-global-q8_0"; may be empty
}

// emptyDetail stands for an empty Detail in String. It is not a valid detail itself, because details begin with a
// letter or digit.
const emptyDetail = "-"

// Validate returns an error for the first field that is too long or does not consist of a letter or digit followed by
// [a-z0-9._-].
func (k Key) Validate() error {
	if len(k.Model) != modelDigestBytes || strings.Trim(k.Model, "0123456789abcdef") != "" {
		return fmt.Errorf("key model %.80q is not a valid sha256 in lower-case hex", k.Model)
	}
	if err := checkSegment("kind", string(k.Kind), maxKindBytes); err != nil {
		return err
	}
	if err := checkSegment("recipe", k.Recipe, maxRecipeBytes); err != nil {
		return err
	}
	if k.Detail == "" {
		return nil
	}
	return checkSegment("detail", k.Detail, maxDetailBytes)
}

// checkSegment returns an error unless s has 1 to maxBytes of [a-z0-9._-] and begins with a letter or digit. No segment
// can then be ".", "..", a hidden file, an option or empty.
func checkSegment(field, s string, maxBytes int) error {
	if len(s) == 0 || len(s) > maxBytes {
		return fmt.Errorf("key %s has %d bytes but must have 1 to %d", field, len(s), maxBytes)
	}
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '.' && c != '_' && c != '-') {
			return fmt.Errorf("key %s %.80q: byte %d is not allowed; keys consist of [a-z0-9] and then [a-z0-9._-]", field, s, i)
		}
	}
	return nil
}

// String returns the canonical form, "v1/model/kind/recipe/detail", with "-" for an empty detail. ParseKey is its
// inverse.
func (k Key) String() string {
	return fmt.Sprintf("v%d/%s/%s", FormatVersion, k.Model, strings.Join(k.Segments(), "/"))
}

// Segments returns the parts of the key after the model: kind, recipe and detail. They are never empty and are safe as
// file names.
func (k Key) Segments() []string {
	detail := k.Detail
	if detail == "" {
		detail = emptyDetail
	}
	return []string{string(k.Kind), k.Recipe, detail}
}

// KeyFromSegments is the inverse of Segments and checks its arguments.
func KeyFromSegments(model string, segments []string) (Key, error) {
	if len(segments) != 3 {
		return Key{}, fmt.Errorf("key has %d segments below the model but must have 3", len(segments))
	}
	key := Key{Model: model, Kind: Kind(segments[0]), Recipe: segments[1], Detail: segments[2]}
	switch key.Detail {
	case emptyDetail:
		key.Detail = ""
	case "":
		return Key{}, errors.New("key detail is empty")
	}
	return key, key.Validate()
}

// ParseKey is the inverse of String.
func ParseKey(s string) (Key, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 5 || parts[0] != fmt.Sprintf("v%d", FormatVersion) {
		return Key{}, fmt.Errorf("key %.80q does not have the form v%d/model/kind/recipe/detail", s, FormatVersion)
	}
	return KeyFromSegments(parts[1], parts[2:])
}

// Store stores values by key. Values are opaque. A store verifies a value's checksum when it reads the value.
//
// # Concurrency
//
// All methods may be called from several goroutines and processes at the same time. A reader gets one complete value
// and never a mixture of two.
//
// # Errors
//
// For an invalid key, a method has no effect and returns an error. If ctx ends, it returns ctx's error, possibly
// wrapped.
type Store interface {
	// Get returns the value, which belongs to the caller. It returns ErrNotFound if there is no entry. If the entry is
	// damaged, Get deletes and counts it and returns an error that wraps ErrCorrupt.
	Get(ctx context.Context, key Key) ([]byte, error)
	// Put stores the value and replaces any earlier one. The store does not keep the slice.
	Put(ctx context.Context, key Key, value []byte) error
	// Delete removes the entry. It returns nil if there is none.
	Delete(ctx context.Context, key Key) error
	// List returns the keys of a model's entries of one kind, sorted by their canonical form.
	List(ctx context.Context, model string, kind Kind) ([]Key, error)
}

// Hooks observe stores. Nil hooks are not called. Hooks may be called from any goroutine and must return quickly. store
// is "disk", "files" or "redis". There are few stores and kinds, so both can be labels of a metric.
type Hooks struct {
	OnHit     func(store string, kind Kind)
	OnMiss    func(store string, kind Kind)
	OnCorrupt func(store string, kind Kind)
	OnLease   func(held bool) // true if a lease shared with other hosts was acquired, false if it was released or lost
}

// Hit records that a store had a usable value.
func (h Hooks) Hit(store string, kind Kind) {
	if h.OnHit != nil {
		h.OnHit(store, kind)
	}
}

// Miss records that a store had no value.
func (h Hooks) Miss(store string, kind Kind) {
	if h.OnMiss != nil {
		h.OnMiss(store, kind)
	}
}

// Corrupt records that a store deleted a damaged value.
func (h Hooks) Corrupt(store string, kind Kind) {
	if h.OnCorrupt != nil {
		h.OnCorrupt(store, kind)
	}
}

// Lease records that a lease was acquired (true), or released or lost (false).
func (h Hooks) Lease(held bool) {
	if h.OnLease != nil {
		h.OnLease(held)
	}
}
