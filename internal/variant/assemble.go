package variant

import (
	"context"
	"fmt"
	"os"

	"prunellm/convert"
	"prunellm/prune"
)

// assemble writes the variant's file unless the file cache has it. A nil plan keeps all neurons. down holds the
// refitted matrices in stored form; it is nil without a refit.
func (w *build) assemble(ctx context.Context, plan *prune.Plan, down []byte) (Built, error) {
	identity := w.keys.file(plan, down)
	path, ok, err := w.Files.Path(ctx, identity)
	if err != nil {
		w.Log.Warn("file cache unusable, assembling again", "error", err)
	}
	if err != nil || !ok {
		w.progress(Progress{Stage: StageAssembling})
		path, err = w.Files.Create(ctx, identity, func(temp string) error { return w.write(ctx, temp, plan, down) })
		if err != nil {
			return Built{}, fmt.Errorf("assemble %s: %w", Name(w.Name, w.spec.Ratio), err)
		}
	}
	return w.built(path, identity, plan)
}

// write assembles the file at path.
func (w *build) write(ctx context.Context, path string, plan *prune.Plan, down []byte) error {
	options := convert.Options{FileType: w.spec.FileType, Codec: w.Codec, Provenance: w.provenance(plan)}
	if plan != nil {
		options.Kept = plan.Kept
	}
	if down != nil {
		var err error
		if options.LoadDown, err = UnpackDown(down, w.Model.Config(), plan, w.Codec); err != nil {
			return err
		}
	}
	return w.slim(ctx, path, options)
}

// slim writes the pruned model. It copies unchanged tensors from the dense file and returns an error if that file
// changed meanwhile.
func (w *build) slim(ctx context.Context, path string, options convert.Options) error {
	if _, err := convert.Slim(ctx, w.Model, path, options); err != nil {
		return err
	}
	return w.notReplaced(ctx)
}

func (w *build) provenance(plan *prune.Plan) convert.Provenance {
	p := convert.Provenance{Ratio: w.spec.Ratio, SourceName: w.Name, SourceDigest: w.keys.model, Tool: w.Tool}
	if plan != nil {
		p.Recipe, p.Criterion, p.Budget = w.spec.recipe(), string(w.spec.Recipe.Criterion), string(w.spec.Budget)
	}
	return p
}

func (w *build) built(path, identity string, plan *prune.Plan) (Built, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Built{}, fmt.Errorf("assembled file: %w", err)
	}
	config := w.Model.Config()
	built := Built{
		Model: w.Name, Stage: Dense, Path: path, Digest: identity, Ratio: w.spec.Ratio, KeptMLP: 1, Widths: config.FFN, Bytes: info.Size(), DenseBytes: w.Model.File().Size,
	}
	if plan != nil {
		built.Stage, built.Widths = Refined, plan.Widths()
	}
	built.Parameters = config.Parameters(built.Widths)
	built.Reached = 1 - float64(built.Parameters)/float64(config.Parameters(nil))
	slim := config
	slim.FFN = built.Widths
	built.KeptMLP = float64(slim.MLPParameters()) / float64(config.MLPParameters())
	return built, nil
}
