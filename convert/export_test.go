package convert

import (
	"context"
	"fmt"
	"io"

	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// SlimAs is Slim, but it writes the model as the named architecture even if the widths do not require it. That
// architecture must have the same graph.
func SlimAs(ctx context.Context, source *models.GGUF, path, architecture string, options Options) error {
	s, err := newSlimmer(source, options)
	if err != nil {
		return err
	}
	row, ok := arch.Named(architecture)
	if !ok {
		return fmt.Errorf("no row %q", architecture)
	}
	s.become(row)
	return gguf.Write(ctx, path, s.keys(), s.sources(), io.Discard)
}
