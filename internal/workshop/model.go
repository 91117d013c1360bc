package workshop

import (
	"context"
	"fmt"
	"log/slog"

	"prunellm/convert"
	"prunellm/internal/jobs/work"
	"prunellm/models"
)

// OpenModel opens and checks a model's file. With servable, it also opens a model that cannot be pruned; CheckServed then tests
// whether the engine can run it. OpenModel logs a warning about a model whose text may be worse.
func OpenModel(ctx context.Context, path string, servable bool, log *slog.Logger) (*models.GGUF, error) {
	open, dequantize := models.OpenGGUF, work.Codec().Dequantize
	if servable {
		open = models.OpenServable
	}
	model, err := open(path, dequantize)
	if err != nil {
		return nil, err
	}
	if err := convert.Check(ctx, model.File(), dequantize); err != nil {
		_ = model.Close() // the model is read-only
		return nil, fmt.Errorf("open model %q: %w", path, err)
	}
	if fault := model.Tokenizer().PreTokenizerFault(); fault != "" {
		log.Warn("the model's pre-tokenizer is unknown", "file", path, "reason", fault)
	}
	if reason := model.Unprunable(); reason != nil {
		log.Warn("the model cannot be pruned", "file", path, "reason", reason)
	}
	return model, nil
}

// CheckServed returns an error if the engine cannot run a model that cannot be pruned. prunellm checks less of such a file. A child
// process therefore loads it, so that a crash of llama.cpp does not end this process.
func (w *Workshop) CheckServed(ctx context.Context) error {
	if w.Builder.Model.Unprunable() == nil {
		return nil
	}
	if err := w.Orders.Try(ctx, w.Builder.Model.Path()); err != nil {
		return fmt.Errorf("llama.cpp cannot run the model: %w", err)
	}
	return nil
}
