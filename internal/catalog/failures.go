package catalog

import (
	"fmt"
	"time"
)

// maxFailures bounds the number of ratios whose last failure is remembered.
const maxFailures = 64

// failures stores why variants could not be made. Use newFailures.
type failures struct {
	startup float64
	reasons map[float64]string // of the last attempt, by ratio
	// status explains why the startup variant, or the dense model before it, is not loaded. It is "" until the first
	// attempt ends, and after success.
	status string
}

func newFailures(startup float64) *failures {
	return &failures{startup: startup, reasons: map[float64]string{}}
}

// succeeded forgets the failure of a ratio.
func (f *failures) succeeded(ratio float64) {
	delete(f.reasons, ratio)
	if ratio == f.startup {
		f.status = ""
	}
}

// failed records why a ratio could not be made. Clients may request any number of ratios, so beyond maxFailures it
// forgets another ratio, but never the startup ratio.
func (f *failures) failed(ratio float64, err error) {
	delete(f.reasons, ratio)
	for other := range f.reasons {
		if len(f.reasons) < maxFailures {
			break
		}
		if other != f.startup {
			delete(f.reasons, other)
		}
	}
	f.reasons[ratio] = err.Error()
	if ratio == f.startup {
		f.status = fmt.Sprintf("the last attempt failed (%v)", err)
	}
}

// retrying records a failure that is retried after pause.
func (f *failures) retrying(err error, pause time.Duration) {
	f.status = fmt.Sprintf("the last attempt failed (%v); the next one begins within %s", err, pause)
}

// forget drops a ratio's failure. It does not change the status.
func (f *failures) forget(ratio float64) { delete(f.reasons, ratio) }
