package catalog

import (
	"fmt"
	"time"
)

// maxFailures bounds the ratios whose last failure is remembered.
const maxFailures = 64

// failures stores why variants could not be made. Use newFailures.
type failures struct {
	startup float64
	reasons map[float64]string // of the last attempt, by ratio
	// status explains why the startup variant, or the dense one before it, is not loaded; "" before the end of the
	// first attempt and after success.
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

// failed records why a ratio could not be made. Beyond maxFailures it forgets another ratio, but not the startup ratio:
// clients may request any number of ratios.
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

// forget drops a ratio's failure. The status stays.
func (f *failures) forget(ratio float64) { delete(f.reasons, ratio) }
