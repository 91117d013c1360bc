package main

import (
	"fmt"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
)

// inspectCommand shows and checks a GGUF file.
type inspectCommand struct {
	File string `arg:"" help:"GGUF file." placeholder:"FILE.gguf"`
}

// Run prints the report on standard output and one line a fault on standard error.
func (c *inspectCommand) Run(env *environment) error {
	report, faults := convert.Inspect(env.ctx, c.File, ggmlquant.Dequantize)
	if err := env.ctx.Err(); err != nil {
		return err
	}
	for _, line := range report.Lines() {
		fmt.Fprintln(env.stdout, line)
	}
	for _, fault := range faults {
		fmt.Fprintf(env.stderr, "%s: %s\n", c.File, oneLine(fmt.Errorf("%s", fault)))
	}
	if len(faults) > 0 {
		return fmt.Errorf("%q has %d faults", c.File, len(faults))
	}
	fmt.Fprintln(env.stdout, "checks: passed")
	return nil
}
