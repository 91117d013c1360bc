// Package modelfacts says what the server tells clients about a model, from the model's file.
package modelfacts

import (
	"math"
	"path/filepath"

	"prunellm/convert"
	"prunellm/internal/chat"
	"prunellm/models"
	"prunellm/server"
)

// fileTypeKey has the type of most of a file's matrices.
const fileTypeKey = "general.file_type"

// Of returns the facts of a model that is served with matrices of that file type. The caller adds those of the engine: Context
// and Slots.
func Of(model *models.GGUF, fileType string) server.Facts {
	config := model.Config()
	facts := server.Facts{
		File: filepath.Base(model.Path()), Architecture: config.Architecture, Parameters: model.Parameters(), Bytes: model.File().Size,
		Vocabulary: config.VocabSize, SentencePiece: model.Tokenizer().Model == models.SentencePiece,
		HiddenSize: config.HiddenSize, Layers: config.Layers, TrainedContext: config.ContextLength, Infill: chat.Infill(model.FIM()),
	}
	if kind, err := convert.ParseFileType(fileType); err == nil && kind != convert.Keep {
		facts.FileType = string(kind)
	} else if number, err := model.File().Int(fileTypeKey); err == nil && number >= 0 && number <= math.MaxUint32 {
		facts.FileType = convert.FileTypeName(uint32(number))
	}
	return facts
}
