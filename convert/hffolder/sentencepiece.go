package hffolder

import (
	"fmt"

	"github.com/ollama/ollama/convert/sentencepiece"
	"google.golang.org/protobuf/proto"
)

// sentencePieceVocabulary reads tokenizer.model. The numbers of SentencePiece's token types are ggml's.
func sentencePieceVocabulary(data []byte, size int) (*vocabulary, error) {
	var model sentencepiece.ModelProto
	if err := proto.Unmarshal(data, &model); err != nil {
		return nil, fmt.Errorf("%s: not a SentencePiece model: %w", sentencePieceFile, err)
	}
	pieces := model.GetPieces()
	if len(pieces) == 0 || len(pieces) > size {
		return nil, fmt.Errorf("%s has %d pieces, the embedding has %d rows", sentencePieceFile, len(pieces), size)
	}
	v := &vocabulary{model: "llama"}
	for _, piece := range pieces {
		kind := int32(piece.GetType())
		if kind < tokenNormal || kind > 6 {
			return nil, fmt.Errorf("%s: piece %.40q is of unknown type %d", sentencePieceFile, piece.GetPiece(), kind)
		}
		v.tokens = append(v.tokens, piece.GetPiece())
		v.scores = append(v.scores, piece.GetScore())
		v.types = append(v.types, kind)
	}
	return v, nil
}
