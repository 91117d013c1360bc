package main

import (
	"fmt"
	"os"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/internal/source"
)

// inspectCommand shows and checks a GGUF file.
type inspectCommand struct {
	File     string `arg:"" help:"GGUF file, or safetensors folder, which is converted first." placeholder:"FILE.gguf|DIR"`
	CacheDir string `help:"Folder where converted models are kept." default:"${home}/cache" type:"path" placeholder:"DIR"`
}

// Run prints the report on standard output and one line a fault on standard error.
func (c *inspectCommand) Run(env *environment) error {
	path := c.File
	if info, err := os.Stat(path); err == nil && info.IsDir() {
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
	for _, line := range report.Lines() {
		fmt.Fprintln(env.stdout, line)
	}
	for _, fault := range faults {
		fmt.Fprintf(env.stderr, "%s: %s\n", c.File, oneLine(fmt.Errorf("%s", fault)))
	}
	switch len(faults) {
	case 0:
	case 1:
		return fmt.Errorf("%q has 1 fault", c.File)
	default:
		return fmt.Errorf("%q has %d faults", c.File, len(faults))
	}
	fmt.Fprintln(env.stdout, "checks: passed")
	return nil
}
