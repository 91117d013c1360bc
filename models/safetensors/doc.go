// Package safetensors reads and writes safetensors files, which hold named tensors of plain numbers and a JSON header.
//
// A file has three parts: the length of the header (u64, little endian), the header, and the tensors' bytes without
// gaps. The header is a JSON object that maps tensor names to dtype, shape and data_offsets, and "__metadata__" to free
// text. The specification is the safetensors project's README.
//
// # Concurrency
//
// A File is immutable once parsed; its methods may be called from several goroutines.
//
// # Errors
//
// Files may be hostile. Parse checks every length, offset and shape against the file's size and the limits below before
// it allocates.
package safetensors

// The limits of Parse.
const (
	MaxHeaderBytes = 16 << 20
	MaxTensors     = 1 << 16
	MaxNameBytes   = 1 << 10
	MaxDims        = 8
)
