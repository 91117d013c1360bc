package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// info is the hub's description of a repository at a revision.
type info struct {
	Commit string `json:"sha"`
	Files  []file `json:"siblings"`
}

// file is one file of a repository.
type file struct {
	Name string `json:"rfilename"`
	Size int64  `json:"size"`
	Blob string `json:"blobId"` // Git's hash of the content or, for a large file, of the pointer to it
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"` // set for large files
}

// sum returns the checksum of a file's content: the SHA-256 of a large file, Git's blob hash of any other. Both are ""
// if the hub gives none.
func (f file) sum() (sha256, blob string) {
	if f.LFS != nil {
		return f.LFS.SHA256, ""
	}
	return "", f.Blob
}

// bytes returns the size of the content.
func (f file) bytes() int64 {
	if f.LFS != nil {
		return f.LFS.Size
	}
	return f.Size
}

var (
	hexSum    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	hexCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// parseInfo parses and checks a response. It leaves out files whose names cannot be paths on this machine.
func parseInfo(data []byte) (*info, error) {
	var answer info
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the hub's response is not the expected JSON: %w", err)
	}
	if !hexCommit.MatchString(answer.Commit) {
		return nil, fmt.Errorf("the hub names an invalid commit %.60q", answer.Commit)
	}
	if len(answer.Files) == 0 || len(answer.Files) > maxFiles {
		return nil, fmt.Errorf("the repository has %d files but must have 1 to %d", len(answer.Files), maxFiles)
	}
	kept := answer.Files[:0]
	seen := map[string]bool{}
	for _, f := range answer.Files {
		if !safePath(f.Name) || seen[f.Name] {
			continue
		}
		seen[f.Name] = true
		if f.bytes() < 0 || f.bytes() > maxFileBytes {
			return nil, fmt.Errorf("the hub says that file %q has %d bytes", f.Name, f.bytes())
		}
		sha256, blob := f.sum()
		if !hexSum.MatchString(sha256) && !hexCommit.MatchString(blob) {
			return nil, errors.New("the hub gives no checksum for file " + f.Name)
		}
		kept = append(kept, f)
	}
	answer.Files = kept
	return &answer, nil
}
