package variant

import (
	"fmt"
	"slices"
	"time"
)

// Stage is the name of a stage of making a variant.
type Stage string

// The stages of making a variant. Stages describes them. A stage does not run if the store has its result.
const (
	StageWaiting     Stage = "waiting for another replica"
	StageDownloading Stage = "downloading"
	StageCalibrating Stage = "writing calibration text"
	StageScoring1    Stage = "scoring"
	StageScoring2    Stage = "scoring, self-distillation"
	StageRefitting   Stage = "refitting down_proj"
	StageRecovering  Stage = "recovering"
	StageAssembling  Stage = "assembling"
	StageLoading     Stage = "loading"
	StageEvaluating  Stage = "evaluating"
)

// StageRow describes a stage.
type StageRow struct {
	Stage Stage
	Work  string // what the stage does, without a final period
	// Leased reports whether a replica runs the stage under a lease and publishes its progress to the others.
	Leased bool
}

// Stages returns all stages in the order of a first start. docs/use/troubleshooting.md shows them.
func Stages() []StageRow {
	return []StageRow{
		{StageDownloading, "downloads the model from the hub", false},
		{StageWaiting, "waits for a replica that computes the same values; its stage follows", true},
		{StageCalibrating, "obtains calibration text: the dense model writes it, or a file is tokenized", true},
		{StageScoring1, "scores the neurons on the calibration text", true},
		{StageScoring2, "scores them again with the distillation loss, for criteria with two stages", true},
		{StageRefitting, "refits `down_proj` of each layer to the neurons kept", true},
		{StageRecovering, "trains the pruned model on the dense model's distribution", true},
		{StageAssembling, "writes the variant's GGUF file", true},
		{StageLoading, "loads the file into the engine", true},
		{StageEvaluating, "measures quality, in `eval` and `sensitivity`", true},
	}
}

// Progress describes the running stage.
type Progress struct {
	Stage   Stage         `json:"stage"`
	Done    int           `json:"done"`    // units done
	Total   int           `json:"total"`   // all units; 0 if unknown
	Unit    string        `json:"unit"`    // in the plural, such as "tokens", "seconds" or "MiB"
	Elapsed time.Duration `json:"elapsed"` // since the stage began; nanoseconds in JSON
	// Step is the number of the stage, starting with 1, among the Steps stages of the work. It is 0 if unknown.
	Step  int           `json:"step,omitempty"`
	Steps int           `json:"steps,omitempty"`
	Left  time.Duration `json:"left,omitempty"` // estimated for all stages; 0 if unknown
	// Leader is the stage of the leader while this replica waits for it. Done, Total, Unit and Elapsed are then the
	// leader's. Leader is "" if this replica does not wait, or if the leader has published nothing.
	Leader Stage `json:"-"`
}

// known reports whether a leader may publish the stage. It must be checked, because users read the text and another
// process wrote it.
func (s Stage) known() bool {
	return slices.ContainsFunc(Stages(), func(row StageRow) bool { return row.Stage == s && row.Leased })
}

// knownUnit returns the unit if a leader may publish it. Otherwise it returns "tokens", the unit of most stages.
func knownUnit(unit string) string {
	switch unit {
	case "tokens", "layers", "seconds":
		return unit
	}
	return "tokens"
}

// The bounds of what a leader may publish.
const (
	maxSteps = 16
	maxLeft  = 1000 * time.Hour
)

// placed reports whether Step, Steps and Left are consistent.
func (p Progress) placed() bool {
	return p.Step >= 0 && p.Step <= p.Steps && p.Steps <= maxSteps && p.Left >= 0 && p.Left <= maxLeft
}

// TimeLeft returns the time left in all stages or, if that is unknown, in this one.
func (p Progress) TimeLeft() time.Duration { return max(p.Left, p.Remaining()) }

// settled is how long a stage must run before its rate means anything.
const settled = time.Second

// Rate returns the units per second since the stage began. During the first second it returns 0.
func (p Progress) Rate() float64 {
	if p.Elapsed < settled {
		return 0
	}
	return float64(p.Done) / p.Elapsed.Seconds()
}

// Remaining returns the time left in the stage at the current rate. It returns 0 if the rate or the total is unknown.
func (p Progress) Remaining() time.Duration {
	rate := p.Rate()
	if rate <= 0 || p.Done >= p.Total {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second))
}

// Fraction returns the completed share of the stage, in [0,1]. It returns 0 without a total.
func (p Progress) Fraction() float64 {
	if p.Total <= 0 {
		return 0
	}
	return min(1, float64(p.Done)/float64(p.Total))
}

// Whole describes the place of the stage among all stages: "stage 2 of 5, 1m30s left in all". It returns "" if that is
// unknown.
func (p Progress) Whole() string {
	if p.Steps < 2 {
		return ""
	}
	text := fmt.Sprintf("stage %d of %d", p.Step, p.Steps)
	if left := p.Left.Round(time.Second); left > 0 && p.Step < p.Steps {
		text += fmt.Sprintf(", %s left in all", left)
	}
	return text
}

// String returns one line: "scoring: 40%, 12s left (stage 2 of 5, 1m30s left in all)".
func (p Progress) String() string {
	text := string(p.Stage)
	if p.Leader != "" {
		text += ", which is " + string(p.Leader)
	}
	if p.Total > 0 {
		text += fmt.Sprintf(": %d%%", int(100*p.Fraction()))
	}
	if left := p.Remaining(); left > 0 {
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	if whole := p.Whole(); whole != "" {
		text += " (" + whole + ")"
	}
	return text
}

// NewCounter returns a function that reports how many units of a stage are done. The stage begins now. report may be
// nil.
func NewCounter(stage Stage, unit string, report func(Progress)) func(done, total int) {
	began := time.Now()
	return func(done, total int) {
		if report != nil {
			report(Progress{Stage: stage, Done: done, Total: total, Unit: unit, Elapsed: time.Since(began)})
		}
	}
}

// NewMeter is like NewCounter for a known total.
func NewMeter(stage Stage, unit string, total int, report func(Progress)) func(done int) {
	count := NewCounter(stage, unit, report)
	return func(done int) { count(done, total) }
}
