package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"prunellm/internal/progress"
	"prunellm/internal/source"
	"prunellm/internal/trust"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
	"prunellm/models"
	"prunellm/models/hub"
)

// open opens the dense model that the flags name. It caches downloads and conversions in cacheDir.
func (f *modelFlags) open(env *environment, cacheDir string) (*models.GGUF, error) {
	model, _, err := f.openSource(env.ctx, env, cacheDir, false)
	return model, err
}

// openSource opens the model as open does, and also returns the source of the file. If servable is set, it also opens a
// model that cannot be pruned.
func (f *modelFlags) openSource(ctx context.Context, env *environment, cacheDir string, servable bool) (*models.GGUF, source.Source, error) {
	if f.needsHome(env.home, cacheDir) {
		return nil, source.Source{}, errNoHome
	}
	view := progress.New(env.stderr, env.log)
	defer view.Close()
	var meter func(done int)
	shown := -1
	found, err := source.Resolve(ctx, f.Model, source.Options{
		Home: env.home, CacheDir: cacheDir, Log: env.log,
		Hub: hub.Options{
			URL: f.HubURL, Hosts: f.HubHosts, Token: os.Getenv("HF_TOKEN"),
			Progress: func(done, total int64) {
				if meter == nil {
					meter = variant.NewMeter(variant.StageDownloading, "MiB", int(total>>20), view.Show)
				}
				if mebibytes := int(done >> 20); mebibytes != shown {
					shown = mebibytes
					meter(mebibytes)
				}
			},
		},
	})
	if err != nil {
		return nil, source.Source{}, err
	}
	if f.Model == models.DefaultRef { // the user did not name the file, so other users must not be able to change it
		if _, err := trust.Resolve(found.Path); err != nil {
			return nil, source.Source{}, fmt.Errorf("default model: %w", err)
		}
	}
	model, err := workshop.OpenModel(ctx, found.Path, servable, env.log)
	return model, found, err
}

// needsHome reports whether the model needs a folder that is not known: the home folder for the default model, the cache
// folder for downloads and conversions.
func (f *modelFlags) needsHome(home, cacheDir string) bool {
	if f.Model == models.DefaultRef {
		return home == ""
	}
	info, err := os.Stat(f.Model)
	return cacheDir == "" && (strings.HasPrefix(f.Model, hub.Prefix) || err == nil && info.IsDir())
}

// named adds the model's path to an error that lacks it.
func named(model *models.GGUF, err error) error {
	if err == nil || strings.Contains(err.Error(), model.Path()) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("model %q: %w", model.Path(), err)
}
