package hffolder

import (
	"fmt"
	"strings"

	"github.com/ollama/ollama/convert/sentencepiece"
	"google.golang.org/protobuf/proto"

	"prunellm/models"
)

// sentencePieceVocabulary reads tokenizer.model. SentencePiece and ggml use the same numbers for token types.
func sentencePieceVocabulary(data []byte, size int) (*vocabulary, error) {
	var model sentencepiece.ModelProto
	if err := proto.Unmarshal(data, &model); err != nil {
		return nil, fmt.Errorf("%s: not a SentencePiece model: %w", sentencePieceFile, err)
	}
	pieces := model.GetPieces()
	if len(pieces) == 0 || len(pieces) > size {
		return nil, fmt.Errorf("%s has %d pieces, but the embedding has %d rows", sentencePieceFile, len(pieces), size)
	}
	if trainer := model.GetTrainerSpec(); trainer != nil && trainer.ModelType != nil && *trainer.ModelType != sentencepiece.TrainerSpec_BPE {
		return nil, fmt.Errorf("%w: %s is of type %s; llama.cpp supports only type BPE", models.ErrUnsupported,
			sentencePieceFile, *trainer.ModelType)
	}
	v := &vocabulary{model: models.SentencePiece}
	if normalizer := model.GetNormalizerSpec(); normalizer != nil && normalizer.AddDummyPrefix != nil {
		v.addSpace = normalizer.AddDummyPrefix
	}
	for _, piece := range pieces {
		kind := int32(piece.GetType())
		if kind < tokenNormal || kind > 6 {
			return nil, fmt.Errorf("%s: piece %.40q is of unknown type %d", sentencePieceFile, piece.GetPiece(), kind)
		}
		if kind == tokenUserDefined && strings.Contains(piece.GetPiece(), "▁") {
			kind = tokenNormal // llama.cpp prints user-defined tokens verbatim, but in this one ▁ means a space
		}
		v.tokens = append(v.tokens, piece.GetPiece())
		v.scores = append(v.scores, piece.GetScore())
		v.types = append(v.types, kind)
	}
	return v, nil
}
