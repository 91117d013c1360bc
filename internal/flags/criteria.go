package flags

import (
	"strings"

	"github.com/alecthomas/kong"

	"prunellm/prune"
)

// CriterionVars returns texts about criteria for the flags of a recipe: their names and help, those that use the
// distillation loss or draw labels, and those whose ranking changes in bfloat16.
func CriterionVars() kong.Vars {
	var names, help, distilling, drawing, float32Only []string
	for _, c := range prune.Criteria() {
		names = append(names, string(c))
		help = append(help, string(c)+" ("+c.Help()+")")
		if c.Distills() {
			distilling = append(distilling, string(c))
		}
		if c.DrawsLabels() {
			drawing = append(drawing, string(c))
		}
		if !c.MixedPrecision() {
			float32Only = append(float32Only, string(c))
		}
	}
	return kong.Vars{
		"criteria": strings.Join(names, ","), "criteria_help": strings.Join(help, ", "),
		"distilling": strings.Join(distilling, ", "), "drawing": strings.Join(drawing, ", "),
		"float32_only": strings.Join(float32Only, ", "),
	}
}
