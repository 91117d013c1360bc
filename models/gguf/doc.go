// Package gguf reads and writes GGUF files, versions 2 and 3, little endian: the container llama.cpp loads models from.
//
// It knows bytes, types and names. It does not know what a tensor means (see models) and does not quantize (see
// convert/ggmlquant).
//
// A file is: magic "GGUF", version u32, number of tensors u64, number of keys u64; the keys, each a name, a type and a
// value; the tensors' names, dimensions (fastest axis first), types and offsets; padding up to the alignment; the
// tensors' bytes, each padded up to the alignment. Strings are a u64 length and bytes. The data section's start is the
// origin of the offsets. The specification is docs/gguf.md of the ggml project.
//
// # Data flow
//
// Parse reads only the part before the data section; File.Data and File.ReadTensor read a tensor's bytes on demand. Write
// asks for one tensor's bytes at a time.
//
// # Concurrency
//
// A File is immutable once parsed; its methods may be called from several goroutines.
//
// # Errors
//
// Files may be hostile: Parse checks every count, length, offset and product against the file's size and the limits below
// before it allocates. A fault of the content is a FormatError.
package gguf

// Limits of what Parse accepts. They are far above what published models need and bound the memory that a hostile file
// can claim.
const (
	MaxKeys          = 1 << 16  // key-value pairs
	MaxTensors       = 1 << 16  // tensors
	MaxKeyBytes      = 1 << 12  // bytes of a key
	MaxNameBytes     = 63       // bytes of a tensor name: ggml's own limit
	MaxStringBytes   = 16 << 20 // bytes of one string value
	MaxMetadataBytes = 64 << 20 // bytes before the data section
	MaxDims          = 4        // axes of a tensor
	MaxAlignment     = 1 << 16  // bytes
	maxFaults        = 16       // faults listed in one FormatError
)

// DefaultAlignment is the alignment of tensors in bytes without the key AlignmentKey.
const DefaultAlignment = 32

// AlignmentKey is the key of another alignment than DefaultAlignment.
const AlignmentKey = "general.alignment"
