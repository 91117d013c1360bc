package models

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// DefaultRef is the reference of the model that `make setup` fetches.
const DefaultRef = "default"

const defaultFile = "SmolLM2-135M-Instruct.Q4_1.gguf"

// Resolve returns the path of the GGUF file that a model reference names. "default" names the model that setup put
// under home/models; any other reference is a path.
func Resolve(ctx context.Context, ref, home string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	switch {
	case ref == "":
		return "", fmt.Errorf("no model given; name a GGUF file or %q", DefaultRef)
	case ref == DefaultRef:
		path := filepath.Join(home, "models", defaultFile)
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("the default model is not at %q; run `make setup`: %w", path, err)
		}
		return path, nil
	case strings.HasPrefix(ref, "hf:"):
		return "", fmt.Errorf("%w: reference %q; download the model's GGUF file and name its path", ErrUnsupported, ref)
	}
	info, err := os.Stat(ref)
	switch {
	case err != nil:
		return "", fmt.Errorf("model: %w", err)
	case info.IsDir():
		return "", fmt.Errorf("%w: model %q is a folder; name a GGUF file (llama.cpp's convert_hf_to_gguf.py makes one)", ErrUnsupported, ref)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("model %q is not a regular file", ref)
	}
	return ref, nil
}

var (
	// matches a file type at the end of a name without ".gguf": "-Q4_K_M", ".f16", "_q8_0"
	typeSuffix = regexp.MustCompile(`[-._](i?q[0-9]+(_[0-9a-z]+)*|b?f16|f32|fp16|fp32|mxfp4)$`)
	unsafeRun  = regexp.MustCompile(`[^a-z0-9._-]+`)
)

// ServedName derives the name under which clients see a model from a file name or title. It converts to lower case,
// drops ".gguf" and a file type at the end, and keeps only the characters a-z 0-9 . _ -.
// "SmolLM2-135M-Instruct.Q4_1.gguf" gives "smollm2-135m-instruct". The result may be empty.
func ServedName(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".gguf")
	name = typeSuffix.ReplaceAllString(name, "")
	return strings.Trim(unsafeRun.ReplaceAllString(name, "-"), "-._")
}
