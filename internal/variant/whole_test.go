package variant

import (
	"slices"
	"testing"
	"time"

	"prunellm/prune"
)

func TestStagesOfAJob(t *testing.T) {
	stored := []byte("stored")
	tests := map[string]struct {
		job  Job
		file bool
		want []Stage
	}{
		"all": {Job{Spec: Spec{Recipe: prune.Recipe{Criterion: prune.SDM}}, WantDown: true}, true,
			[]Stage{StageCalibrating, StageScoring1, StageScoring2, StageRefitting, StageAssembling}},
		"one pass":        {Job{Spec: Spec{Recipe: prune.Recipe{Criterion: prune.SDM2}}}, true, []Stage{StageCalibrating, StageScoring1, StageAssembling}},
		"scores alone":    {Job{Spec: Spec{Recipe: prune.Recipe{Criterion: prune.SDM2}}, Calibration: stored}, false, []Stage{StageScoring1}},
		"a further ratio": {Job{Spec: Spec{Recipe: prune.Recipe{Criterion: prune.SDM2}}, Calibration: stored, Scores: stored, WantDown: true}, true, []Stage{StageRefitting, StageAssembling}},
	}
	for name, test := range tests {
		if got := wholeOf(test.job, test.file).stages; !slices.Equal(got, test.want) {
			t.Errorf("%s: stages %q, want %q", name, got, test.want)
		}
	}
}

func TestPlaceOfAStage(t *testing.T) {
	w := &whole{stages: []Stage{StageCalibrating, StageScoring1, StageAssembling}, costs: []float64{2, 3, 0}}
	steps := []struct {
		p         Progress
		step      int
		remaining time.Duration
		left      time.Duration
	}{
		{Progress{Stage: StageCalibrating, Done: 0, Total: 100}, 1, 0, 0},
		{Progress{Stage: StageCalibrating, Done: 50, Total: 100, Elapsed: 10 * time.Second}, 1, 10 * time.Second, 40 * time.Second},
		{Progress{Stage: StageCalibrating, Done: 100, Total: 100, Elapsed: 20 * time.Second}, 1, 0, 30 * time.Second},
		{Progress{Stage: StageScoring1, Done: 0, Total: 100}, 2, 0, 30 * time.Second},
		{Progress{Stage: StageScoring1, Done: 50, Total: 100, Elapsed: 30 * time.Second}, 2, 30 * time.Second, 30 * time.Second},
		{Progress{Stage: StageAssembling}, 3, 0, 0},
	}
	for i, step := range steps {
		got := w.place(step.p)
		if got.Step != step.step || got.Steps != 3 || got.Remaining() != step.remaining || got.Left != step.left {
			t.Errorf("%d: %+v, %v left in the stage; want stage %d of 3, %v and %v in all", i, got, got.Remaining(), step.step, step.remaining, step.left)
		}
	}
	if got, want := w.place(steps[1].p).String(), "writing calibration text: 50%, 10s left (stage 1 of 3, 40s left in all)"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if got := w.place(Progress{Stage: StageWaiting}); got.Steps != 0 {
		t.Errorf("a stage that the build does not have is placed: %+v", got)
	}
}
