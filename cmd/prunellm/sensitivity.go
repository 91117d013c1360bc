package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	_ "embed"

	"prunellm/internal/bench"
	"prunellm/internal/jobs/work"
	"prunellm/internal/outfile"
	"prunellm/internal/progress"
	"prunellm/internal/sensitivity"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
	"prunellm/models"
)

// sensitivityWindows is the default of --windows with --sensitivity. It is small because every layer takes two
// measurements.
const sensitivityWindows = 4

// sensitivity measures the layers one by one, on the dense model in the file type of --file-type.
func (c *evalCommand) sensitivity(env *environment, model *models.GGUF, text string) error {
	if c.Windows == 0 {
		c.Windows = sensitivityWindows
	}
	scores, whole, err := c.scored(env, model)
	if err != nil {
		return err
	}
	report, err := c.remove(env, whole, scores, text)
	if err != nil {
		return err
	}
	report.Model = model.ServedName()
	if c.Output != "" {
		if err := report.Plot(c.Output, bench.ChartLibrary()); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(env.stdout).Encode(report)
	}
	return report.Table(env.stdout)
}

// scored returns the scores, float32[layers][neurons], and the path of the dense model in the file type of --file-type.
func (c *evalCommand) scored(env *environment, model *models.GGUF) ([][]float32, string, error) {
	shop, err := openWorkshop(env, model, c.cacheFlags, workshop.Serving{})
	if err != nil {
		return nil, "", err
	}
	defer shop.Close()
	spec, err := c.spec(model, 0, c.FileType)
	if err != nil {
		return nil, "", err
	}
	built, err := shop.Build(env.ctx, spec)
	if err != nil {
		return nil, "", err
	}
	view := progress.New(env.stderr, env.log)
	defer view.Close()
	scores, err := shop.Builder.Scores(env.ctx, spec, view.Show)
	if err != nil {
		return nil, "", err
	}
	return scores.Stage2, built.Path, nil
}

// remove removes each part of a copy of the dense model in turn, and measures the rest.
func (c *evalCommand) remove(env *environment, path string, scores [][]float32, text string) (*sensitivity.Report, error) {
	whole, err := models.OpenGGUF(path, work.Codec().Dequantize)
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	if info, ok := whole.TensorInfo(models.Slot{Role: models.AttnV}); !ok || info.Size%int64(info.Shape[0]) != 0 {
		return nil, fmt.Errorf("%q: cannot remove single rows of type %s: use another --file-type, such as q8_0", path, info.Type)
	}
	folder, err := os.MkdirTemp(c.CacheDir, "sensitivity-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	part := filepath.Join(folder, "part.gguf")
	if err := outfile.Copy(path, part); err != nil {
		return nil, err
	}
	open := c.opener(env)
	decoder, err := open(path)
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	windows, err := c.windows(env.ctx, decoder, text)
	if err != nil {
		return nil, err
	}
	view := progress.New(env.stderr, env.log)
	defer view.Close()
	rows, err := sensitivity.Measure(env.ctx, whole, part, decoder, sensitivity.Options{
		Share: c.Share, Scores: scores, Windows: windows, Open: open,
		Done: variant.NewMeter(variant.StageEvaluating, "measurements", sensitivity.Steps(whole.Config()), view.Show),
	})
	return &sensitivity.Report{Window: c.Window, Windows: len(windows), Share: c.Share, Layers: rows}, err
}
