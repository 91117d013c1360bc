package calibration

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"prunellm/infer"
)

// tokenizePieceBytes is the size of the pieces in which Tokenize processes a text. It checks ctx between pieces.
const tokenizePieceBytes = 1 << 20

// Tokenizer splits text into tokens. infer.Decoder implements it.
type Tokenizer interface {
	Tokenize(text string, bos, special bool) ([]infer.Token, error)
}

// Tokenize splits a text of any length into tokens without BOS. With special, it parses control tokens in the text. If
// done is not nil, Tokenize calls it with the number of bytes of each piece.
func Tokenize(ctx context.Context, model Tokenizer, text string, special bool, done func(bytes int)) ([]infer.Token, error) {
	var tokens []infer.Token
	for text != "" {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		piece := text[:pieceEnd(text, tokenizePieceBytes)]
		part, err := model.Tokenize(piece, false, special)
		if err != nil {
			return nil, err
		}
		tokens, text = append(tokens, part...), text[len(piece):]
		if done != nil {
			done(len(piece))
		}
	}
	return tokens, nil
}

// pieceEnd returns where to cut a text, at most limit bytes from its start. It cuts before the last line that does not
// begin with a space, because no token of a byte-pair vocabulary crosses that place. If there is no such line, it cuts
// between two characters.
func pieceEnd(text string, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	for end := limit; ; {
		end = strings.LastIndexByte(text[:end], '\n')
		if end < 0 {
			break
		}
		if next, _ := utf8.DecodeRuneInString(text[end+1:]); !unicode.IsSpace(next) {
			return end + 1
		}
	}
	for limit > 1 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return limit
}
