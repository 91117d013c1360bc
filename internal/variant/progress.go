package variant

import (
	"fmt"
	"time"
)

// Stage names a part of making a variant.
type Stage string

// The stages in the order in which they run; one that is found in the store is left out.
const (
	StageWaiting     Stage = "waiting for another replica"
	StageCalibrating Stage = "writing calibration text"
	StageScoring1    Stage = "scoring"
	StageScoring2    Stage = "scoring, self-distillation"
	StageRefitting   Stage = "refitting down_proj"
	StageRecovering  Stage = "recovering"
	StageAssembling  Stage = "assembling"
	StageDownloading Stage = "downloading"
	StageLoading     Stage = "loading"
	StageEvaluating  Stage = "evaluating"
)

// Progress says how far the making of a variant has come.
type Progress struct {
	Stage   Stage         `json:"stage"`
	Done    int           `json:"done"`    // units of the stage: tokens, or layers when refitting
	Total   int           `json:"total"`   // 0 when unknown
	Unit    string        `json:"unit"`    // "tokens", "layers" or "seconds"
	Elapsed time.Duration `json:"elapsed"` // since the stage began, in nanoseconds
	// Leader is what the replica that computes is doing while this one waits for it: then the other fields are that
	// replica's. "" when it has not said.
	Leader Stage `json:"-"`
}

// known tells whether a stage is one of ours. What another process says is shown to people, so it is not taken as it comes.
func (s Stage) known() bool {
	switch s {
	case StageWaiting, StageCalibrating, StageScoring1, StageScoring2, StageRefitting, StageRecovering, StageAssembling, StageLoading, StageEvaluating:
		return true
	}
	return false
}

// knownUnit is the unit itself if it is one of ours, else the one that most stages count in.
func knownUnit(unit string) string {
	switch unit {
	case "tokens", "layers", "seconds":
		return unit
	}
	return "tokens"
}

// settled is how long a stage runs before its rate means anything.
const settled = time.Second

// Rate is units a second so far, 0 while nothing is known.
func (p Progress) Rate() float64 {
	if p.Elapsed < settled {
		return 0
	}
	return float64(p.Done) / p.Elapsed.Seconds()
}

// Remaining is the time left in the stage at the rate so far, 0 while nothing is known.
func (p Progress) Remaining() time.Duration {
	rate := p.Rate()
	if rate <= 0 || p.Done >= p.Total {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second))
}

// Fraction is the part of the stage that is done, in [0,1].
func (p Progress) Fraction() float64 {
	if p.Total <= 0 {
		return 0
	}
	return min(1, float64(p.Done)/float64(p.Total))
}

// String is one line for people: "scoring, stage 1 of 2: 40 %, 12s left".
func (p Progress) String() string {
	text := string(p.Stage)
	if p.Leader != "" {
		text += ", which is " + string(p.Leader)
	}
	if p.Total > 0 {
		text += fmt.Sprintf(": %d %%", int(100*p.Fraction()))
	}
	if left := p.Remaining(); left > 0 {
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return text
}

// NewCounter returns a function that reports how many units of a stage are done, timed from now. report may be nil.
func NewCounter(stage Stage, unit string, report func(Progress)) func(done, total int) {
	began := time.Now()
	return func(done, total int) {
		if report != nil {
			report(Progress{Stage: stage, Done: done, Total: total, Unit: unit, Elapsed: time.Since(began)})
		}
	}
}

// NewMeter is NewCounter for a total that is known.
func NewMeter(stage Stage, unit string, total int, report func(Progress)) func(done int) {
	count := NewCounter(stage, unit, report)
	return func(done int) { count(done, total) }
}
