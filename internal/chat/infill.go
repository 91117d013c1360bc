package chat

import "prunellm/openapi"

// Infill are the texts of the control tokens by which a model fills in the middle of a text. Repository and File may be empty. The
// zero value is a model that cannot.
type Infill struct{ Prefix, Suffix, Middle, Repository, File string }

// Can reports whether the model can fill in the middle of a text.
func (i Infill) Can() bool { return i.Prefix != "" }

// Pieces returns the prompt of what comes between two texts.
func (i Infill) Pieces(prefix, suffix string) []Piece {
	return []Piece{{i.Prefix, true}, {prefix, false}, {i.Suffix, true}, {suffix, false}, {i.Middle, true}}
}

// Names that llama-server gives to a repository and a file of which it knows none.
const (
	noRepository = "myproject\n"
	noFile       = "filename\n"
	noSeparator  = "\n\n--- snippet ---\n\n"
)

// Extra returns what comes before the prompt: snippets of other files, in the form of the models that have tokens for it.
func (i Infill) Extra(snippets []openapi.Snippet) []Piece {
	var out []Piece
	if i.Repository != "" {
		out = append(out, Piece{i.Repository, true}, Piece{noRepository, false})
	}
	for _, snippet := range snippets {
		if i.File != "" {
			out = append(out, Piece{i.File, true}, Piece{snippet.File + "\n", false}, Piece{snippet.Text, false})
		} else {
			out = append(out, Piece{noSeparator, false}, Piece{snippet.Text, false})
		}
	}
	if i.File != "" {
		out = append(out, Piece{i.File, true}, Piece{noFile, false})
	}
	return out
}
