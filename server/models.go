package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"prunellm/openapi"
)

// Models holds the variants that answer requests. The caller of New implements it.
//
// # Concurrency
//
// All methods may be called from several goroutines, also before anything is ready; List and Status never block.
type Models interface {
	// Acquire returns the variant for a model name. A name without a base is the server's own model, a name without a
	// ratio has the startup ratio. It may wait while a variant is made, until ctx ends. The caller must Release the
	// variant. Errors: ErrModelNotFound, *NotReadyError, *RatioError, or the error of ctx; all may be wrapped.
	Acquire(ctx context.Context, model openapi.ModelName) (*Variant, error)
	// List describes the models that can be asked for, the startup variant first.
	List() []openapi.Model
	// Status reports whether a request for the startup variant would be answered now.
	Status() Status
}

// Admin manages variants for administrators. The caller of New may implement it.
//
// # Concurrency
//
// All methods may be called from several goroutines and do not wait for a variant to be made.
type Admin interface {
	// Variants lists what is loaded, being made, pinned or failed.
	Variants() []openapi.AdminVariant
	// Make begins to make and load a variant, if it is not there.
	Make(ratio float64) (openapi.AdminVariant, error)
	// Pin keeps a variant from being unloaded to make room, or lets it go again. Errors: ErrModelNotFound.
	Pin(name openapi.ModelName, pin bool) (openapi.AdminVariant, error)
	// Delete unloads a variant and removes its file. Errors: ErrModelNotFound, *ConflictError.
	Delete(name openapi.ModelName) error
}

// ConflictError says that something cannot be done to a variant as it is.
type ConflictError struct{ Reason string }

// Error implements error.
func (e *ConflictError) Error() string { return "the variant cannot be deleted: " + e.Reason }

// Status says whether the server is ready, and if not how far it is.
type Status struct {
	Ready      bool
	Progress   string        // one line for people, such as "scoring: 40 %"; when ready, of the variant that another answers for
	RetryAfter time.Duration // when to ask again; 0 means DefaultRetryAfter
}

// DefaultRetryAfter is the Retry-After when no better estimate is known.
const DefaultRetryAfter = 5 * time.Second

// ErrModelNotFound is wrapped by Acquire when no model has that base name.
var ErrModelNotFound = errors.New("model not found")

// NotReadyError says that the variant is still being made.
type NotReadyError struct {
	RetryAfter time.Duration // 0 means DefaultRetryAfter
	Progress   string        // one line for people
}

// Error implements error.
func (e *NotReadyError) Error() string {
	if e.Progress == "" {
		return "the model is not ready yet"
	}
	return "the model is not ready yet: " + e.Progress
}

// RatioError says that a model cannot be pruned as far as was asked.
type RatioError struct {
	Ratio float64 // asked for
	Max   float64 // the largest that works
}

// Error implements error.
func (e *RatioError) Error() string {
	return fmt.Sprintf("ratio %g cannot be reached by narrowing MLPs, at most %g can", e.Ratio, e.Max)
}
