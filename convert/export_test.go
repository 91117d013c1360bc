package convert

import (
	"context"
	"io"

	"prunellm/models"
	"prunellm/models/gguf"
)

// SlimAs is Slim in the architecture of that name, which computes the same, whatever the widths.
func SlimAs(ctx context.Context, source *models.GGUF, path, architecture string, options Options) error {
	s, err := newSlimmer(source, options)
	if err != nil {
		return err
	}
	s.become(architecture)
	return gguf.Write(ctx, path, s.keys(), s.sources(), io.Discard)
}
