package variant

import (
	"slices"
	"time"
)

// costs holds the relative durations of stages for the same number of calibration tokens. It only serves to estimate
// the time left. The values come from the rates of a cold start of the default model (docs/use/terminal.svg). The
// second scoring pass is assumed to cost as much as the first. Assembling takes only a second or two and is left out.
var costs = map[Stage]float64{StageCalibrating: 1, StageScoring1: 5, StageScoring2: 5, StageRefitting: 3.5}

// whole tracks the place of the running stage among all stages of a build.
type whole struct {
	stages []Stage // in order
	costs  []float64
	second float64 // seconds per unit of cost, from the last stage with a rate; 0 if unknown
}

// wholeOf returns the stages of a job and, if file is true, of the assembly after it.
func wholeOf(job Job, file bool) *whole {
	w := &whole{}
	add := func(stage Stage, cost float64) {
		w.stages, w.costs = append(w.stages, stage), append(w.costs, cost)
	}
	reads := job.Spec.Recipe.Criterion.NeedsTokens()
	if job.Calibration == nil && (job.WantDown || job.Scores == nil && reads) {
		cost := costs[StageCalibrating]
		if job.Spec.Calibration.File != "" { // reading a file takes no time
			cost = 0
		}
		add(StageCalibrating, cost)
	}
	if job.Scores == nil && reads {
		add(StageScoring1, costs[StageScoring1])
		if job.Spec.Recipe.Criterion.Distills() {
			add(StageScoring2, costs[StageScoring2])
		}
	}
	if job.WantDown {
		add(StageRefitting, costs[StageRefitting])
	}
	if file {
		add(StageAssembling, 0)
	}
	return w
}

// place returns p with the number of its stage and the time left in all stages.
func (w *whole) place(p Progress) Progress {
	i := slices.Index(w.stages, p.Stage)
	if i < 0 {
		return p
	}
	p.Step, p.Steps = i+1, len(w.stages)
	remaining := p.Remaining()
	if finished := p.Done >= p.Total && p.Rate() > 0; w.costs[i] > 0 && (remaining > 0 || finished) {
		w.second = (p.Elapsed + remaining).Seconds() / w.costs[i]
	} else if w.second > 0 {
		remaining = max(w.time(w.costs[i])-p.Elapsed, 0)
	}
	if w.second > 0 {
		p.Left = remaining
		for _, cost := range w.costs[i+1:] {
			p.Left += w.time(cost)
		}
	}
	return p
}

func (w *whole) time(cost float64) time.Duration {
	return time.Duration(cost * w.second * float64(time.Second))
}
