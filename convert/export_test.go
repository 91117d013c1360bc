package convert

import (
	"context"
	"fmt"
	"io"

	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// SlimAs is Slim in the architecture of that name, which computes the same, whatever the widths.
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
