package convert

import (
	"fmt"
	"slices"
	"strings"

	"prunellm/models"
	"prunellm/models/gguf"
)

// FileType is the name of the type in which a file stores its matrices.
type FileType string

// Keep is the file type that leaves every tensor's type unchanged.
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

// mixtures are the names of further values of general.file_type, those of llama.cpp's files that prunellm does not write.
var mixtures = map[uint32]string{
	10: "q2_k", 11: "q3_k_s", 12: "q3_k_m", 13: "q3_k_l", 15: "q4_k_m", 17: "q5_k_m", 21: "q2_k_s",
	19: "iq2_xxs", 20: "iq2_xs", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 27: "iq3_m", 28: "iq2_s",
	29: "iq2_m", 30: "iq4_xs", 31: "iq1_m", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4",
}

// FileTypes lists the names that ParseFileType accepts. docs/use/models.md shows them.
func FileTypes() []string {
	names := []string{string(Keep)}
	for _, f := range fileTypes {
		names = append(names, string(f.name))
	}
	return names
}

// ParseFileType returns the file type with that name. It ignores upper and lower case; "" means Keep.
func ParseFileType(name string) (FileType, error) {
	lower := strings.ToLower(name)
	if lower == "" {
		return Keep, nil
	}
	if !slices.Contains(FileTypes(), lower) {
		return "", fmt.Errorf("unknown file type %q; it must be one of %s", name, strings.Join(FileTypes(), ", "))
	}
	return FileType(lower), nil
}

// Bits returns the bits per weight of the matrices, including the scales of their blocks. It returns 0 for Keep.
func (f FileType) Bits() float64 {
	row, ok := f.lookup()
	if !ok {
		return 0
	}
	return 8 * float64(row.kind.TypeSize()) / float64(row.kind.BlockSize())
}

func (f FileType) lookup() (fileType, bool) {
	for _, t := range fileTypes {
		if t.name == f {
			return t, true
		}
	}
	return fileType{}, false
}

// FileTypeName returns the name of a general.file_type number, or "file type N" for a number that this package does not
// know.
func FileTypeName(number uint32) string {
	for _, t := range fileTypes {
		if t.number == number {
			return string(t.name)
		}
	}
	if name, ok := mixtures[number]; ok {
		return name
	}
	return fmt.Sprintf("file type %d", number)
}

// typeFor returns the type in which to write a tensor, given its type in the source and its row length.
//
// Vectors keep their type, and matrices get the type of the file. There are two exceptions. The output matrix (the
// embedding if the two are tied) gets q6_k in files of fewer bits, as in llama.cpp, because its errors go straight into
// the logits. A matrix whose rows do not fill whole blocks gets the type that fallback returns.
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

// fallback returns kind if rows of that length fill its blocks. Otherwise it returns the next type with smaller blocks and at least
// the same precision. This is q4_0 for q2_k and q3_k, q5_0 for q4_k, q5_1 for q5_k, and q8_0 for q6_k. It is f16 for rows that do
// not fill blocks of 32.
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

// DownType returns the type in which Slim writes the down matrix of a layer, given its width in columns and its type in
// the source. A refit need not compute the matrix more precisely than that.
func (f FileType) DownType(config models.Config, layer, width int, source gguf.Type) gguf.Type {
	return f.typeFor(config, models.Slot{Role: models.FFNDown, Layer: layer}, source, width)
}

// TensorType returns the type in which Slim writes a tensor, given its type in the source. Training need not keep the
// tensor more precisely than that.
func (f FileType) TensorType(config models.Config, slot models.Slot, source gguf.Type) gguf.Type {
	shape := config.TensorShape(slot.Role, slot.Layer)
	return f.typeFor(config, slot, source, shape[len(shape)-1])
}
