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

// The names of sources.
const (
	SelfName    = "self"    // the dense model writes the text
	GeneralName = "general" // text of many genres that is part of the binary
	AutoName    = "auto"    // see Resolve
)

// Auto is the source for users who name none. It is good for text of any kind and not the best for any one kind
// (docs/understand/pruning.md).
const Auto = GeneralName + "," + SelfName

// Resolve returns the source that a value names. For "auto" it returns Auto, or the model's own text if takesText is
// false, that is, if tokenizing text for the model would give wrong tokens. It returns other values unchanged.
func Resolve(value string, takesText bool) string {
	switch {
	case value != AutoName:
		return value
	case takesText:
		return Auto
	}
	return SelfName
}

// MaxSequence is the largest Want.Length in tokens. It is the limit of package prune; internal/jobs/work checks that
// the two agree.
const MaxSequence = 4096

// MinTokens is the smallest number of tokens to score on. Fewer would not be representative.
const MinTokens = 256

// ErrTooShort is wrapped by the error for a text with fewer tokens than Want.AtLeast.
var ErrTooShort = errors.New("text is too short")

// Want describes the tokens that a caller requests from a source.
type Want struct {
	Tokens  int    // maximum number in total
	AtLeast int    // if a file has fewer tokens, the error wraps ErrTooShort
	Length  int    // tokens per sequence, at least 2
	Seed    uint64 // for sampled text
	// Chats says whether to render a file's conversations with the model's chat template. Otherwise they are read as
	// plain text.
	Chats bool
	// Exclude lists sequences to leave out of a file's text. For text that the model writes, another seed is enough.
	Exclude [][]int32
}

// Source provides token sequences for one dense model.
type Source interface {
	// Sequences returns sequences of want.Length tokens, or one shorter sequence if the text is shorter than that. The
	// same arguments give the same tokens. progress is called with the numbers of completed and total tokens; it may be
	// nil.
	Sequences(ctx context.Context, want Want, progress func(done, total int)) ([][]int32, error)
}

// Model is a loaded model that can tokenize and generate text.
type Model interface {
	infer.Decoder
	// BOS returns the beginning-of-sequence token. adds reports whether the model's texts begin with it.
	BOS() (bos infer.Token, adds bool)
}

// Dense holds the dense model and everything that a source needs to run it.
type Dense struct {
	Weights *models.GGUF
	Codec   convert.Codec
	Scratch string // existing folder for the copy of the model that writes the text
	// OpenModel loads a GGUF file for the given number of sequences of contextSize tokens. With gpu, it uses GPUs as
	// far as the model fits.
	OpenModel func(ctx context.Context, path string, contextSize, sequences int, gpu bool) (Model, error)
}

// Reference identifies calibration text.
type Reference struct {
	Identity string // differs for different texts; at most 80 bytes
	// File is the absolute path of a text file, or the list of sources of a mixture in the form that Find accepts. It
	// is "" for a single named source.
	File string
}

// row is a source with a name. Find takes any other name as the path of a file.
type row struct {
	name string
	// identity must change when the same model and seed give different text. Values that were computed on the old text
	// then have another key.
	identity string
	open     func(dense Dense) Source
}

func rows() []row {
	return []row{
		{name: SelfName, identity: Self().Identity, open: func(dense Dense) Source { return selfSource{dense} }},
		{name: GeneralName, identity: "general-" + corpus.Digest(), open: generalSource},
	}
}

// Self returns the reference for text that the dense model writes.
func Self() Reference { return Reference{Identity: "self-2"} }

// Find returns the reference for a source: the name of a source, the path of a file, or a mixture of these. The sources
// of a mixture are separated by commas and may have weights: "general,a.txt=2". Find reads a file once to compute its
// identity.
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

// Training returns the reference for the text to train on if r is the calibration text. Instead of the general text,
// which is too short to train on, and of Auto, it returns the model's own text.
func (r Reference) Training() Reference {
	for _, short := range []string{GeneralName, Auto} {
		if ref, err := Find(short); err == nil && ref.Identity == r.Identity {
			return Self()
		}
	}
	return r
}

// Open returns the source for a dense model. It does not read any text yet.
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
