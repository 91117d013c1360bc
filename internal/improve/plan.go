package improve

import (
	"fmt"
	"strings"
	"time"

	"prunellm/internal/variant"
)

// Row describes a stage.
type Row struct {
	Stage string // of package variant
	// Tokens of the recipe's text that are scored and refitted on, at most; 0: as the recipe has it.
	Scored, Refitted int
	Trains           bool // a training of the budget's length follows
	Work             string
}

// Rows returns all stages, from the first that answers to the last. docs/use/improve.md shows them.
func Rows() []Row {
	return []Row{
		{Stage: variant.Dense, Work: "is the model as it came, with `--while-pruning dense`"},
		{Stage: variant.Quick, Scored: 2048, Refitted: 4096, Work: "is scored and refitted on a part of the calibration text"},
		{Stage: variant.Refined, Work: "is what the flags say: all of the calibration text"},
		{Stage: variant.Healed, Trains: true, Work: "is trained to predict like the dense model"},
	}
}

// Step is a stage of one variant.
type Step struct {
	Row
	Spec   variant.Spec  // of the file, or of the one that is trained
	Budget time.Duration // of the training
}

// Plan returns the stages that a pruned variant goes through. quick has it begin with the quick one, unless that would be no
// quicker. training is the time of the last one; 0: there is none.
func Plan(spec variant.Spec, quick bool, training time.Duration) []Step {
	var steps []Step
	for _, row := range Rows() {
		step := Step{Row: row, Spec: spec}
		switch {
		case row.Stage == variant.Dense, row.Stage == variant.Quick && !quick, row.Trains && training <= 0:
			continue
		case row.Trains:
			step.Budget = training
		case row.Scored > 0 || row.Refitted > 0:
			if step.Spec = row.part(spec); step.Spec == spec {
				continue
			}
		}
		steps = append(steps, step)
	}
	return steps
}

// part returns the spec of a variant that reads a part of another one's text; the same spec if it would read as much.
func (r Row) part(spec variant.Spec) variant.Spec {
	part := spec
	if r.Scored < spec.Recipe.Tokens && spec.Recipe.Criterion.NeedsTokens() {
		part.TextTokens, part.Recipe.Tokens = spec.Text(), r.Scored
	}
	if spec.Reconstruct {
		part.RefitTokens = min(r.Refitted, spec.Refits(), spec.Text())
	}
	if part.Recipe == spec.Recipe && part.Refits() == spec.Refits() {
		return spec
	}
	return part
}

// after returns the steps that come after a stage; all of them if it is none of them.
func after(steps []Step, stage string) []Step {
	for i, step := range steps {
		if step.Stage == stage {
			return steps[i+1:]
		}
	}
	return steps
}

// String describes a step: "refined, scored on 4096 tokens and refitted on 16384".
func (s Step) String() string {
	if s.Trains {
		return fmt.Sprintf("%s, trained for %s", s.Stage, s.Budget)
	}
	var parts []string
	if s.Spec.Recipe.Criterion.NeedsTokens() {
		parts = append(parts, fmt.Sprintf("scored on %d tokens", s.Spec.Recipe.Tokens))
	}
	if refits := s.Spec.Refits(); refits > 0 {
		parts = append(parts, fmt.Sprintf("refitted on %d", refits))
	}
	return strings.TrimSuffix(s.Stage+", "+strings.Join(parts, " and "), ", ")
}

// Better reports whether a file replaces the one that answers: its predictions of the same held-out tokens are closer to the
// dense model's.
func Better(answers, candidate variant.Card) bool {
	return candidate.Tokens == answers.Tokens && candidate.KLToDense < answers.KLToDense
}

// Budget is what --improve says.
type Budget struct {
	On       bool
	Training time.Duration
}

// DefaultTraining is the training of the budget "on".
const DefaultTraining = 10 * time.Minute

// maxTraining bounds a budget.
const maxTraining = 7 * 24 * time.Hour

// ParseBudget reads "off", "on" or the time of the training: "15m".
func ParseBudget(text string) (Budget, error) {
	switch text {
	case "off":
		return Budget{}, nil
	case "on":
		return Budget{On: true, Training: DefaultTraining}, nil
	}
	training, err := time.ParseDuration(text)
	if err != nil || training < 0 || training > maxTraining {
		return Budget{}, fmt.Errorf("%.40q is not off, on or a time of at most %s, such as 15m", text, maxTraining)
	}
	return Budget{On: true, Training: training}, nil
}
