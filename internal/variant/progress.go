package variant

import (
	"fmt"
	"slices"
	"time"
)

// Stage names a part of making a variant.
type Stage string

// The stages of a variant. A stage does not run if the store has its result. Stages describes them.
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
	Work  string // what it does, without a final period
	// Leased reports whether a replica runs the stage under a lease and publishes it to the others.
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

// Progress is the state of the running stage.
type Progress struct {
	Stage   Stage         `json:"stage"`
	Done    int           `json:"done"`    // units done
	Total   int           `json:"total"`   // units in all; 0: unknown
	Unit    string        `json:"unit"`    // plural, such as "tokens", "seconds" or "MiB"
	Elapsed time.Duration `json:"elapsed"` // since the stage began; nanoseconds in JSON
	// Step is the number of the stage, from 1, among Steps that the work has; 0 where that is not known.
	Step  int           `json:"step,omitempty"`
	Steps int           `json:"steps,omitempty"`
	Left  time.Duration `json:"left,omitempty"` // in all stages, estimated; 0: unknown
	// Leader is the stage of the replica that computes while this replica waits; Done, Total, Unit and Elapsed are then the
	// leader's. "" when this replica does not wait, or the leader has published nothing.
	Leader Stage `json:"-"`
}

// known reports whether a replica may publish the stage under a lease. Users read the text, and another process wrote it.
func (s Stage) known() bool {
	return slices.ContainsFunc(Stages(), func(row StageRow) bool { return row.Stage == s && row.Leased })
}

// knownUnit returns the unit if a leader may publish it, else "tokens", which most stages count.
func knownUnit(unit string) string {
	switch unit {
	case "tokens", "layers", "seconds":
		return unit
	}
	return "tokens"
}

// Bounds of what a leader may publish.
const (
	maxSteps = 16
	maxLeft  = 1000 * time.Hour
)

// placed reports whether the numbers of the whole fit together.
func (p Progress) placed() bool {
	return p.Step >= 0 && p.Step <= p.Steps && p.Steps <= maxSteps && p.Left >= 0 && p.Left <= maxLeft
}

// TimeLeft returns the time left in all stages, or in this one where that is not known.
func (p Progress) TimeLeft() time.Duration { return max(p.Left, p.Remaining()) }

// settled is the time that a stage must run before its rate is meaningful.
const settled = time.Second

// Rate returns units per second since the stage began, or 0 during the first second.
func (p Progress) Rate() float64 {
	if p.Elapsed < settled {
		return 0
	}
	return float64(p.Done) / p.Elapsed.Seconds()
}

// Remaining returns the time left in the stage at the current rate, or 0 while rate or total are unknown.
func (p Progress) Remaining() time.Duration {
	rate := p.Rate()
	if rate <= 0 || p.Done >= p.Total {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second))
}

// Fraction returns the share of the stage that is done, in [0,1]; 0 without a total.
func (p Progress) Fraction() float64 {
	if p.Total <= 0 {
		return 0
	}
	return min(1, float64(p.Done)/float64(p.Total))
}

// Whole describes the place of the stage among all: "stage 2 of 5, 1m30s left in all"; "" where that is not known.
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

// NewCounter returns a function that reports the units done of a stage that begins now. report may be nil.
func NewCounter(stage Stage, unit string, report func(Progress)) func(done, total int) {
	began := time.Now()
	return func(done, total int) {
		if report != nil {
			report(Progress{Stage: stage, Done: done, Total: total, Unit: unit, Elapsed: time.Since(began)})
		}
	}
}

// NewMeter is NewCounter for a known total.
func NewMeter(stage Stage, unit string, total int, report func(Progress)) func(done int) {
	count := NewCounter(stage, unit, report)
	return func(done int) { count(done, total) }
}
