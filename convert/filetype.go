package convert

import (
	"fmt"
	"slices"
	"strings"

	"prunellm/models"
	"prunellm/models/gguf"
)

// FileType names how the matrices of a file are stored.
type FileType string

// Keep leaves every tensor in the type it has.
const Keep FileType = "keep"

type fileType struct {
	name   FileType
	kind   gguf.Type
	number uint32 // llama.cpp's llama_ftype, the value of general.file_type
}

var fileTypes = []fileType{
	{"f32", gguf.F32, 0}, {"f16", gguf.F16, 1}, {"bf16", gguf.BF16, 32},
	{"q8_0", gguf.Q8_0, 7}, {"q4_0", gguf.Q4_0, 2}, {"q4_1", gguf.Q4_1, 3}, {"q5_0", gguf.Q5_0, 8}, {"q5_1", gguf.Q5_1, 9},
	{"q4_k", gguf.Q4_K, 14}, {"q5_k", gguf.Q5_K, 16}, {"q6_k", gguf.Q6_K, 18},
}

// FileTypes lists the names that ParseFileType takes.
func FileTypes() []string {
	names := []string{string(Keep)}
	for _, f := range fileTypes {
		names = append(names, string(f.name))
	}
	return names
}

// ParseFileType checks a file type's name, in any case; "" is Keep.
func ParseFileType(name string) (FileType, error) {
	lower := strings.ToLower(name)
	if lower == "" {
		return Keep, nil
	}
	if !slices.Contains(FileTypes(), lower) {
		return "", fmt.Errorf("unknown file type %q, want one of %s", name, strings.Join(FileTypes(), ", "))
	}
	return FileType(lower), nil
}

func (f FileType) lookup() (fileType, bool) {
	for _, t := range fileTypes {
		if t.name == f {
			return t, true
		}
	}
	return fileType{}, false
}

// FileTypeName is the name of a general.file_type number, or its digits when it is none of ours.
func FileTypeName(number uint32) string {
	for _, t := range fileTypes {
		if t.number == number {
			return string(t.name)
		}
	}
	return fmt.Sprintf("file type %d", number)
}

// typeFor is the type in which a tensor of the given source type and row length is written.
//
// Vectors stay as they are. Matrices take the type of the file, but the output matrix (the embedding, when tied) takes
// q6_k in files of fewer bits, as llama.cpp does: errors there go straight into the logits. A row that does not fill the
// type's blocks falls back, see fallback.
func (f FileType) typeFor(config models.Config, slot models.Slot, source gguf.Type, rowLen int) gguf.Type {
	target, known := f.lookup()
	kind := source
	if vector := len(config.TensorShape(slot.Role, slot.Layer)) == 1; known && !vector {
		kind = target.kind
		output := slot.Role == models.Output || (slot.Role == models.TokenEmbedding && config.TiedEmbeddings)
		if output && kind.Quantized() && kind != gguf.Q8_0 {
			kind = gguf.Q6_K
		}
	}
	return fallback(kind, rowLen)
}

// fallback is the type itself when rows of that length fill its blocks, otherwise the next type with smaller blocks
// and at least its precision: q2_k and q3_k give q4_0, q4_k q5_0, q5_k q5_1, q6_k q8_0, and what does not fill blocks
// of 32 gives f16.
func fallback(kind gguf.Type, rowLen int) gguf.Type {
	for kind.BlockSize() > 0 && rowLen%kind.BlockSize() != 0 {
		switch kind {
		case gguf.Q2_K, gguf.Q3_K:
			kind = gguf.Q4_0
		case gguf.Q4_K:
			kind = gguf.Q5_0
		case gguf.Q5_K:
			kind = gguf.Q5_1
		case gguf.Q6_K:
			kind = gguf.Q8_0
		default:
			kind = gguf.F16
		}
	}
	return kind
}

// DownType is the type in which the down matrix of a layer is written when it has width columns and the source's has the
// given type: the precision in which a refitted one is worth keeping.
func (f FileType) DownType(config models.Config, layer, width int, source gguf.Type) gguf.Type {
	return f.typeFor(config, models.Slot{Role: models.FFNDown, Layer: layer}, source, width)
}

// TensorType is the type in which any tensor of a slim model is written when the source's has the given type: the precision
// in which a trained one is worth keeping.
func (f FileType) TensorType(config models.Config, slot models.Slot, source gguf.Type) gguf.Type {
	shape := config.TensorShape(slot.Role, slot.Layer)
	return f.typeFor(config, slot, source, shape[len(shape)-1])
}
