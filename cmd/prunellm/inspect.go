package main

import (
	"bufio"
	"fmt"
	"os"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/internal/chattemplate"
	"prunellm/internal/flags"
	"prunellm/internal/source"
)

// inspectCommand shows and checks a GGUF file.
type inspectCommand struct {
	File     string `arg:"" help:"GGUF file, or safetensors folder, which is converted first." placeholder:"FILE.gguf|DIR"`
	CacheDir string `help:"Folder of converted models." default:"${cache}" type:"path" placeholder:"DIR"`
}

// Run prints the report on standard output and one line per fault on standard error.
func (c *inspectCommand) Run(env *environment) error {
	path := c.File
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if c.CacheDir == "" {
			return errNoHome
		}
		found, err := source.Resolve(env.ctx, path, source.Options{CacheDir: c.CacheDir, Log: env.log})
		if err != nil {
			return err
		}
		path = found.Path
	}
	report, faults := convert.Inspect(env.ctx, path, ggmlquant.Dequantize)
	if err := env.ctx.Err(); err != nil {
		return err
	}
	out := bufio.NewWriter(env.stdout) // keeps the first error
	for _, line := range report.Lines() {
		fmt.Fprintln(out, line)
	}
	if len(faults) == 0 {
		lines, err := chattemplate.Describe(path)
		for _, line := range lines {
			fmt.Fprintln(out, line)
		}
		if err != nil {
			faults = append(faults, convert.Fault(err.Error()))
		} else {
			fmt.Fprintln(out, "checks: passed")
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	for _, fault := range faults {
		fmt.Fprintf(env.stderr, "%s: %s\n", c.File, flags.OneLine(fmt.Errorf("%s", fault)))
	}
	switch len(faults) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%q has 1 fault", c.File)
	default:
		return fmt.Errorf("%q has %d faults", c.File, len(faults))
	}
}
