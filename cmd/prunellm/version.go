package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// versionCommand shows what this binary is.
type versionCommand struct{}

// namedDependencies are the parts that decide what prunellm computes and serves.
var namedDependencies = [...]string{
	"github.com/gofiber/fiber/v2", "github.com/ollama/ollama", "github.com/gomlx/gomlx", "github.com/gomlx/go-xla",
	"github.com/redis/go-redis/v9", "github.com/x448/float16",
}

// Run prints one line for the program and one for each of its main parts.
func (c *versionCommand) Run(env *environment) error {
	fmt.Fprintf(env.stdout, "prunellm %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, dep := range info.Deps {
		for _, name := range namedDependencies {
			if strings.EqualFold(dep.Path, name) {
				fmt.Fprintf(env.stdout, "%s %s\n", dep.Path, dep.Version)
			}
		}
	}
	return nil
}
