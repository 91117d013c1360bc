package main

import (
	"cmp"
	"fmt"

	"prunellm/convert"
	"prunellm/internal/calibration"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// sequenceLength is the length of a calibration sequence in tokens.
const sequenceLength = 256

// precisions are the values of --mixed-precision.
var precisions = map[string]llama.Precision{"auto": llama.AutoPrecision, "no": llama.Float32, "bf16": llama.BFloat16}

// recipe returns the recipe of the flags and of a source of calibration tokens. The content identifies a calibration
// file, so that a changed file gives new scores.
func (f *recipeFlags) recipe(source string) (prune.Recipe, variant.Calibration, error) {
	r := prune.DefaultRecipe()
	r.Criterion = prune.Criterion(f.Criterion)
	r.Alpha, r.Temperature, r.SliverKeep = f.Alpha, f.Temperature, f.SliverKeep
	r.Tokens, r.Seed, r.Precision = f.CalibrationTokens, f.Seed, precisions[f.MixedPrecision]
	if f.Quick {
		r.Tokens = min(r.Tokens, quickTokens)
	}
	ref, err := calibration.Find(source)
	if err != nil {
		return r, variant.Calibration{}, fmt.Errorf("--calibration: %w", err)
	}
	r.Calibration = ref.Identity
	return r, variant.Calibration{Length: sequenceLength, File: ref.File}, r.Validate()
}

// spec returns the spec of the variant that the flags describe. The budget 'auto' is global if the architecture supports a
// width per layer, else uniform.
func (f *recipeFlags) spec(model *models.GGUF, ratio float64, fileType string) (variant.Spec, error) {
	config := model.Config()
	fault := model.Tokenizer().PreTokenizerFault()
	source := calibration.Resolve(f.Calibration, fault == "" || f.AllowUnknownPreTokenizer)
	if fault != "" && source != calibration.SelfName && !f.AllowUnknownPreTokenizer {
		return variant.Spec{}, usageError{fmt.Errorf("--calibration: %s; use 'self', or accept wrong tokens with --allow-unknown-pre-tokenizer", fault)}
	}
	recipe, text, err := f.recipe(source)
	if err != nil {
		return variant.Spec{}, usageError{err}
	}
	kind, err := convert.ParseFileType(fileType)
	if err != nil {
		return variant.Spec{}, usageError{fmt.Errorf("--file-type: %w", err)}
	}
	text.Length = min(text.Length, config.ContextLength)
	budget := prune.Budget(f.Budget)
	if f.Budget == autoBudget {
		if budget = prune.Uniform; convert.TakesWidths(config) {
			budget = prune.Global
		}
	}
	if budget == prune.Global && !convert.TakesWidths(config) {
		return variant.Spec{}, usageError{fmt.Errorf("--budget is global, but architecture %q takes one width for all layers: use uniform, or auto",
			config.Architecture)}
	}
	return variant.Spec{
		Ratio: ratio, Recipe: recipe, Calibration: text, Budget: budget,
		Reconstruct: f.Reconstruct, RefitTokens: cmp.Or(f.RefitTokens, variant.RefitTokens(recipe.Tokens)), FileType: kind, Step: variant.WidthStep(model, kind),
	}, nil
}
