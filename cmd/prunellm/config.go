package main

import (
	"io"
	"os"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
)

// yamlBelowEnvironment reads a YAML configuration file whose values give way to environment variables; kong by itself
// puts a file above them.
func yamlBelowEnvironment(r io.Reader) (kong.Resolver, error) {
	file, err := kongyaml.Loader(r)
	if err != nil {
		return nil, err
	}
	return belowEnvironment{file}, nil
}

type belowEnvironment struct{ kong.Resolver }

// Resolve implements kong.Resolver: nothing for a flag whose variable is set.
func (b belowEnvironment) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	return b.Resolver.Resolve(ctx, parent, flag)
}
