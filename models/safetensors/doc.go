// Package safetensors reads and writes safetensors files: named tensors of plain numbers with a JSON header.
//
// A file is: the header's length u64 little endian; the header, a JSON object from tensor names to dtype, shape and
// data_offsets, with free text under "__metadata__"; the tensors' bytes, without gaps. The specification is the
// safetensors project's README.
//
// # Concurrency
//
// A File is immutable once parsed; its methods may be called from several goroutines.
//
// # Errors
//
// Files may be hostile: Parse checks every length, offset and product against the file's size and the limits below before
// it allocates.
package safetensors

// Limits of what Parse accepts.
const (
	MaxHeaderBytes = 16 << 20
	MaxTensors     = 1 << 16
	MaxNameBytes   = 1 << 10
	MaxDims        = 8
)
