package modelcard

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"prunellm/internal/regularfile"
	"prunellm/models/gguf"
)

const maxSourceCard = 1 << 20 // bytes of the dense model's page

var licenseLine = regexp.MustCompile(`(?m)^license:[ \t]*([^\s#]+)[ \t]*$`)

// Source returns the license and the repository of the dense model, "" where neither its file nor the page in its folder
// says. folder may be "".
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
