package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"prunellm/infer"
	"prunellm/openapi"
)

// Models provides the variants that serve requests. The caller of New implements it.
//
// # Concurrency
//
// All methods may be called from several goroutines, even before a variant is ready. All but Acquire return at once.
type Models interface {
	// Acquire returns the variant for a model name. A name without a base means the server's own model; a name without
	// a ratio has the startup ratio. Acquire may wait, until ctx ends, while a variant is made. The caller must Release
	// the variant. Errors: ErrModelNotFound, *NotReadyError, *RatioError, or ctx's error, possibly wrapped.
	Acquire(ctx context.Context, model openapi.ModelName) (*Variant, error)
	// List describes the models that requests can name, the startup variant first.
	List() []openapi.Model
	// Status reports whether a request for the startup variant would succeed now.
	Status() Status
	// Slots describes the sequences of the variant that would serve a request for a model name, and returns its name. It
	// loads none. Errors: ErrModelNotFound, *NotReadyError.
	Slots(model openapi.ModelName) (variant string, slots []infer.Slot, err error)
	// Load returns what all loaded variants do now.
	Load() Load
}

// Load is the work of all loaded variants together.
type Load struct {
	Waiting     int // requests that wait for a place in a batch
	Running     int // requests that have one
	CacheTokens int // tokens in the KV caches of running requests
	CacheSize   int // tokens that the KV caches hold
}

// Admin manages variants for administrators. The caller of New may implement it.
//
// # Concurrency
//
// All methods may be called from several goroutines. None waits for a variant to be made.
type Admin interface {
	// Variants lists the variants that are loaded, being made, pinned or failed.
	Variants() []openapi.AdminVariant
	// Make starts to make and load a variant unless it is loaded.
	Make(ratio float64) (openapi.AdminVariant, error)
	// Pin protects a variant from eviction, or ends that protection. Errors: ErrModelNotFound.
	Pin(name openapi.ModelName, pin bool) (openapi.AdminVariant, error)
	// Delete unloads a variant and removes its file. Errors: ErrModelNotFound, *ConflictError.
	Delete(name openapi.ModelName) error
}

// ConflictError means that the state of a variant forbids an operation.
type ConflictError struct{ Reason string }

// Error implements error.
func (e *ConflictError) Error() string { return "the variant cannot be deleted: " + e.Reason }

// usage is the share of the KV caches that running requests hold; 0 without a variant.
func (l Load) usage() float64 {
	if l.CacheSize == 0 {
		return 0
	}
	return float64(l.CacheTokens) / float64(l.CacheSize)
}

// Status reports whether the server is ready and, if not, its progress.
type Status struct {
	Ready      bool
	Progress   string        // one line such as "scoring: 40%"; if ready: about the startup variant while the dense model answers instead
	RetryAfter time.Duration // when to retry; 0 means DefaultRetryAfter
	Stage      string        // of the file that answers for the startup variant; "": none does
	Next       string        // one line about the stage that replaces it next; "": none does
}

// DefaultRetryAfter is the Retry-After without a better estimate.
const DefaultRetryAfter = 5 * time.Second

// ErrModelNotFound is wrapped by Acquire if no model has that base name.
var ErrModelNotFound = errors.New("model not found")

// NotReadyError means that the variant is still being made.
type NotReadyError struct {
	RetryAfter time.Duration // 0 means DefaultRetryAfter
	Progress   string        // one line for the user
}

// Error implements error.
func (e *NotReadyError) Error() string {
	if e.Progress == "" {
		return "the model is not ready yet"
	}
	return "the model is not ready yet: " + e.Progress
}

// RatioError means that the model cannot be pruned by the requested ratio.
type RatioError struct {
	Ratio float64 // the requested ratio
	Max   float64 // the largest valid ratio; 0 for a model that cannot be pruned
}

// Error implements error.
func (e *RatioError) Error() string {
	if e.Max == 0 {
		return fmt.Sprintf("ratio %g is too large: this model cannot be pruned, so it is served only at ratio 0", e.Ratio)
	}
	return fmt.Sprintf("ratio %g is too large: pruning MLPs reaches at most %g", e.Ratio, e.Max)
}
