package calibration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"prunellm/convert"
	"prunellm/infer"
	"prunellm/internal/calibration/corpus"
	"prunellm/models"
)

// Names of sources.
const (
	SelfName    = "self"    // the dense model writes the text
	GeneralName = "general" // text of many genres that is part of the binary
	AutoName    = "auto"    // see Resolve
)

// Auto is the source that needs nothing from the user: good for text of any kind rather than best for one
// (docs/understand/pruning.md).
const Auto = GeneralName + "," + SelfName

// Resolve returns the source that a value names: Auto for 'auto', or the model's own text for a model that may not be
// given text, because its tokens would be wrong. Other values stay.
func Resolve(value string, takesText bool) string {
	switch {
	case value != AutoName:
		return value
	case takesText:
		return Auto
	}
	return SelfName
}

// MaxSequence is the largest Want.Length in tokens, the limit of package prune (internal/jobs/work checks that the two
// agree).
const MaxSequence = 4096

// MinTokens is the shortest text to score on, in tokens. Fewer are not representative.
const MinTokens = 256

// ErrTooShort is wrapped when a text has fewer tokens than Want.AtLeast.
var ErrTooShort = errors.New("text is too short")

// Want describes the requested tokens.
type Want struct {
	Tokens  int    // maximum in total
	AtLeast int    // a file with fewer tokens gives an error that wraps ErrTooShort
	Length  int    // tokens per sequence, at least 2
	Seed    uint64 // for sampled text
	// Chats renders a file's conversations with the model's chat template. Otherwise their contents are read as plain
	// text.
	Chats bool
	// Exclude are sequences that must not be part of a file's text. For text that the model writes, another seed is
	// enough.
	Exclude [][]int32
}

// Source provides token sequences of one dense model.
type Source interface {
	// Sequences returns sequences of want.Length tokens. Only a text shorter than one sequence gives a shorter one. The
	// same arguments give the same tokens. progress may be nil; it is called with the completed and the total tokens.
	Sequences(ctx context.Context, want Want, progress func(done, total int)) ([][]int32, error)
}

// Model is a loaded model that tokenizes and generates.
type Model interface {
	infer.Decoder
	// BOS returns the beginning-of-sequence token, and whether the model's texts begin with it.
	BOS() (bos infer.Token, adds bool)
}

// Dense is the dense model and everything that a source needs to run it.
type Dense struct {
	Weights *models.GGUF
	Codec   convert.Codec
	Scratch string // existing folder for the copy that writes the text
	// OpenModel loads a GGUF file for a number of sequences of contextSize tokens, on GPUs if gpu is set and it fits.
	OpenModel func(ctx context.Context, path string, contextSize, sequences int, gpu bool) (Model, error)
}

// Reference identifies calibration text.
type Reference struct {
	Identity string // another text has another identity; at most 80 bytes
	// File is the absolute path of a file of text, or a mixture: a list of sources with weights, which Find takes too. It
	// is "" for one named source.
	File string
}

// row is a source with a name. Any other name is the path of a file.
type row struct {
	name string
	// identity changes whenever the same model and seed would give other text. Values computed on the old text then
	// have another key.
	identity string
	open     func(dense Dense) Source
}

func rows() []row {
	return []row{
		{name: SelfName, identity: Self().Identity, open: func(dense Dense) Source { return selfSource{dense} }},
		{name: GeneralName, identity: "general-" + corpus.Digest(), open: generalSource},
	}
}

// Self returns the reference of the text that the dense model writes.
func Self() Reference { return Reference{Identity: "self-2"} }

// Find returns the reference of a source's name, of the file at that path, which it reads once for its identity, or of a
// mixture of such sources, which are separated by commas and may have a weight: "general,a.txt=2".
func Find(name string) (Reference, error) {
	for _, r := range rows() {
		if r.name == name {
			return Reference{Identity: r.identity}, nil
		}
	}
	if isMixture(name) {
		return findMixture(name)
	}
	identity, err := fileIdentity(name)
	if err != nil {
		return Reference{}, err
	}
	path, err := filepath.Abs(name)
	return Reference{Identity: identity, File: path}, err
}

// Training returns the reference of the text to train on where this one is calibrated on: the model's own text in place of
// the general text, which is too short to train on, and of Auto.
func (r Reference) Training() Reference {
	for _, short := range []string{GeneralName, Auto} {
		if ref, err := Find(short); err == nil && ref.Identity == r.Identity {
			return Self()
		}
	}
	return r
}

// Open binds the reference to a dense model. It does not read yet.
func (r Reference) Open(dense Dense) (Source, error) {
	switch {
	case strings.HasPrefix(r.Identity, mixturePrefix):
		return openMixture(r, dense)
	case r.File != "":
		return fileSource(dense, r), nil
	}
	for _, row := range rows() {
		if row.identity == r.Identity {
			return row.open(dense), nil
		}
	}
	return nil, fmt.Errorf("%q is not a known calibration source", r.Identity)
}
