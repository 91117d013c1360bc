package jobs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"prunellm/internal/regularfile"
	"prunellm/internal/store"
)

// Kind is the name of a kind of job.
type Kind string

// Values holds the large parts of an order or a result by name, in their stored form. Names are file names. A nil value
// counts as absent.
type Values map[string][]byte

// Order describes a job to a child. Its values are files in Folder.
type Order struct {
	Kind       Kind            `json:"kind"`
	Payload    json.RawMessage `json:"payload"`          // of the kind
	Values     []string        `json:"values,omitempty"` // names of the values
	Folder     string          `json:"folder"`           // exchange folder, an absolute path
	Background bool            `json:"background"`       // whether the server may answer requests at the same time
}

// Result is a child's result. Its values are files in the order's folder.
type Result struct {
	Payload json.RawMessage `json:"payload"` // of the kind
	Values  []string        `json:"values,omitempty"`
}

// message is one line from the child. Exactly one field is set.
type message struct {
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   *Result         `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// maxLine bounds a line of the protocol in either direction, in bytes.
const maxLine = 1 << 20

// JobError is an error that the child reported.
type JobError struct {
	Message string
}

// Error implements error.
func (e *JobError) Error() string { return e.Message }

// write writes the values to the folder and returns their names.
func (v Values) write(folder string) ([]string, error) {
	var names []string
	for name, value := range v {
		if value == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), value, 0o600); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// readValues reads the named values from a folder.
func readValues(folder string, names []string) (Values, error) {
	values := Values{}
	for _, name := range names {
		if name == "." || !filepath.IsLocal(name) || filepath.Base(name) != name {
			return nil, fmt.Errorf("value %q is not a file name", name)
		}
		value, err := regularfile.Read(filepath.Join(folder, name), store.MaxValueBytes)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		values[name] = value
	}
	return values, nil
}

// encode encodes an order or a result as one line.
func encode(what string, value any) ([]byte, error) {
	line, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if len(line) >= maxLine {
		return nil, fmt.Errorf("encode %s: it has %d bytes but must have fewer than %d", what, len(line), maxLine)
	}
	return line, nil
}
