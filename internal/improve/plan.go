package improve

import (
	"fmt"
	"strings"
	"time"

	"prunellm/internal/variant"
)

// Row describes a stage.
type Row struct {
	Stage string // a constant of package variant
	// Scored and Refitted are the maximum numbers of tokens of the recipe's text that scores and refit read. 0 means the
	// recipe's numbers.
	Scored, Refitted int
	Trains           bool   // whether the file is trained for the budget's time
	Work             string // a phrase that describes the file
}

// Rows returns all stages in the order in which they answer. docs/use/improve.md has a table of them.
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
	Spec   variant.Spec  // describes the file, or the file to train
	Budget time.Duration // length of the training; 0 for the other stages
}

// Plan returns the stages that a pruned variant goes through. If quick is true, they begin with the quick stage, unless it
// would read as much text as the recipe. training is the length of the training; 0 means that there is none.
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

// part returns the spec of a variant that reads only a part of the text that spec reads. It returns spec itself if the row
// allows as much text.
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

// after returns the steps after a stage. It returns all steps if none has this stage.
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

// Better reports whether a file replaces the one that answers. It does if its predictions are closer to the dense model's on
// the same held-out tokens.
func Better(answers, candidate variant.Card) bool {
	return candidate.Tokens == answers.Tokens && candidate.KLToDense < answers.KLToDense
}

// Budget is the value of --improve.
type Budget struct {
	On       bool
	Training time.Duration // length of the training; 0 means none
}

// DefaultTraining is the length of the training of the budget "on".
const DefaultTraining = 10 * time.Minute

// maxTraining is the longest training that a budget may have.
const maxTraining = 7 * 24 * time.Hour

// ParseBudget parses "off", "on" or the length of the training, such as "15m".
func ParseBudget(text string) (Budget, error) {
	switch text {
	case "off":
		return Budget{}, nil
	case "on":
		return Budget{On: true, Training: DefaultTraining}, nil
	}
	training, err := time.ParseDuration(text)
	if err != nil || training < 0 || training > maxTraining {
		return Budget{}, fmt.Errorf("%.40q must be off, on or a time of at most %s, such as 15m", text, maxTraining)
	}
	return Budget{On: true, Training: training}, nil
}
