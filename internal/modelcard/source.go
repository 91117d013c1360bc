package modelcard

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"prunellm/convert"
	"prunellm/internal/regularfile"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/models/gguf"
)

const maxSourceCard = 1 << 20 // largest page of a dense model, in bytes

var licenseLine = regexp.MustCompile(`(?m)^license:[ \t]*([^\s#]+)[ \t]*$`)

// Source returns the license and the repository of the dense model, or "" if neither its file nor the page in its
// folder states them. folder may be "".
func Source(file *gguf.File, folder string) (license, repository string, err error) {
	text := func(keys ...string) string {
		for _, key := range keys {
			if value, err := file.String(key); err == nil && value != "" {
				return value
			}
		}
		return ""
	}
	license = text("general.license")
	repository = text("general.repo_url", "general.base_model.0.repo_url")
	if license != "" || folder == "" {
		return license, repository, nil
	}
	page, err := regularfile.Read(filepath.Join(folder, FileName), maxSourceCard)
	if errors.Is(err, fs.ErrNotExist) {
		return "", repository, nil
	}
	if err != nil {
		return "", "", err
	}
	if head, ok := strings.CutPrefix(string(page), "---\n"); ok {
		head, _, _ = strings.Cut(head, "\n---")
		if found := licenseLine.FindStringSubmatch(head); found != nil {
			license = strings.Trim(found[1], `"'`)
		}
	}
	return license, repository, nil
}

// Page renders the page for a variant's file. card may be nil. folder is the folder of the dense model and may be "".
// kind is the type of the tensors.
func Page(slim *models.GGUF, built variant.Built, card *variant.Card, folder, kind string) ([]byte, error) {
	facts := Facts{Built: built, Card: card, Type: kind}
	facts.Provenance, _ = convert.ReadProvenance(slim.File())
	_, uniform := slim.Config().UniformWidth()
	facts.PerLayer = !uniform
	var err error
	if facts.License, facts.BaseModel, err = Source(slim.File(), folder); err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := Write(&page, facts); err != nil {
		return nil, err
	}
	return page.Bytes(), nil
}
