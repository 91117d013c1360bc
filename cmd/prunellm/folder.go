package main

import (
	"fmt"
	"slices"
	"strings"

	"prunellm/convert/ggmlquant"
	"prunellm/convert/hffolder"
	"prunellm/internal/jobs/work"
	"prunellm/internal/modelcard"
	"prunellm/internal/outfile"
	"prunellm/internal/source"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/prune"
)

const formatSafetensors = "safetensors"

// folderTypes are the types of a safetensors folder. The first is the default for quantized models.
var folderTypes = [...]gguf.Type{gguf.F16, gguf.BF16, gguf.F32}

// checkFormat returns an error for flags that a safetensors folder does not support.
func (c *pruneCommand) checkFormat() error {
	if c.Format != formatSafetensors {
		return nil
	}
	if kind, err := gguf.ParseType(c.FileType); c.FileType != "keep" && (err != nil || !slices.Contains(folderTypes[:], kind)) {
		return fmt.Errorf("--file-type is %s but must be f32, f16, bf16 or keep with --format safetensors", c.FileType)
	}
	return nil
}

// prepareFolder sets --budget and --file-type to values that a safetensors folder supports. It returns an error if the
// output or the model cannot be used.
func (c *pruneCommand) prepareFolder(model *models.GGUF) error {
	if err := outfile.CheckNotStandard(c.Output); err != nil {
		return err
	}
	if err := hffolder.CheckTarget(c.Output); err != nil {
		return err
	}
	if err := hffolder.CheckWidths(model.Config()); err != nil {
		return err
	}
	if c.Budget == autoBudget { // a folder of one width loads without trust_remote_code
		c.Budget = string(prune.Uniform)
	}
	if c.Budget == string(prune.Global) {
		if err := hffolder.CheckPerLayer(model.Config().Architecture); err != nil {
			return err
		}
	}
	if c.FileType != "keep" {
		c.FileType = strings.ToLower(c.FileType)
		return nil
	}
	c.FileType = folderTypes[0].String()
	if info, ok := model.File().Tensor(models.TensorName(models.FFNGate, 0)); ok && slices.Contains(folderTypes[:], info.Type) {
		c.FileType = info.Type.String()
	}
	return nil
}

// writeFolder converts a variant's GGUF file to a safetensors folder. card may be nil.
func (c *pruneCommand) writeFolder(env *environment, built variant.Built, card *variant.Card, origin source.Source) error {
	slim, err := models.OpenGGUF(built.Path, ggmlquant.Dequantize)
	if err != nil {
		return err
	}
	defer slim.Close()
	kind, err := gguf.ParseType(c.FileType)
	if err != nil {
		return err
	}
	page, err := modelcard.Page(slim, built, card, origin.Folder, c.FileType)
	if err != nil {
		return err
	}
	return hffolder.FromGGUF(env.ctx, slim, c.Output, hffolder.Options{Source: origin.Folder, Codec: work.Codec(), Type: kind, ModelCard: page})
}
