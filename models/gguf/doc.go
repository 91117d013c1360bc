// Package gguf reads and writes GGUF files, the container from which llama.cpp loads models. It supports the
// little-endian versions 2 and 3.
//
// It handles bytes, types and names. It does not know what a tensor means (see models) and does not quantize (see
// convert/ggmlquant).
//
// A file has these parts in order:
//
//   - the magic "GGUF", the version (u32), the number of tensors (u64) and the number of keys (u64)
//   - the keys, each with a name, a type and a value
//   - the descriptions of the tensors, each with a name, dimensions (fastest axis first), a type and an offset
//   - padding up to the alignment
//   - the data section with the tensors' bytes, each tensor padded up to the alignment
//
// A string is its length (u64) and its bytes. Offsets count from the start of the data section. The specification is
// docs/gguf.md of the ggml project.
//
// # Data flow
//
// Parse reads only the part before the data section. File.Data and File.ReadTensor read a tensor's bytes on demand.
// Write requests the bytes of one tensor at a time.
//
// # Concurrency
//
// A File is immutable once parsed; its methods may be called from several goroutines.
//
// # Errors
//
// Files may be hostile. Parse checks every count, length, offset and shape against the file's size and the limits below
// before it allocates. It returns a FormatError for faults of the content.
package gguf

// The limits of Parse bound the memory that a hostile file can claim. They are far above what published models need.
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

// DefaultAlignment is the alignment of tensors in bytes in a file without the key AlignmentKey.
const DefaultAlignment = 32

// AlignmentKey is the key that sets an alignment other than DefaultAlignment.
const AlignmentKey = "general.alignment"
