package convert

import (
	"slices"
	"strings"

	"prunellm/models"
	"prunellm/models/gguf"
)

const (
	architectureKey        = "general.architecture"
	fileTypeKey            = "general.file_type"
	quantizationVersionKey = "general.quantization_version"
	quantizationVersion    = 2 // of ggml's block formats
	widthKey               = "feed_forward_length"
)

// keys returns the source's metadata in the source's order with the new widths, architecture and file type. The
// provenance comes last.
func (s *slimmer) keys() []gguf.KV {
	oldPrefix, newPrefix := s.dense.Architecture+".", s.config.Architecture+"."
	out := make([]gguf.KV, 0, len(s.file.KVs)+16)
	for _, kv := range s.file.KVs {
		if isProvenance(kv.Key) {
			continue
		}
		if rest, ok := strings.CutPrefix(kv.Key, oldPrefix); ok {
			kv.Key = newPrefix + rest
		}
		switch kv.Key {
		case architectureKey:
			kv.Value = s.config.Architecture
		case newPrefix + widthKey:
			kv.Value = s.widths(kv.Value)
		}
		out = append(out, kv)
	}
	out = setKey(out, fileTypeKey, s.fileTypeNumber())
	if _, ok := s.file.Value(quantizationVersionKey); !ok && s.quantized() {
		out = append(out, gguf.KV{Key: quantizationVersionKey, Value: uint32(quantizationVersion)})
	}
	return append(out, s.options.Provenance.keys()...)
}

// widths returns a single number if all layers have the same width and the source has a single number. Otherwise it
// returns one number per layer.
func (s *slimmer) widths(source any) any {
	if width, uniform := s.config.UniformWidth(); uniform {
		if _, scalar := source.(uint32); scalar {
			return uint32(width)
		}
	}
	out := make([]int32, len(s.config.FFN))
	for i, width := range s.config.FFN {
		out[i] = int32(width)
	}
	if _, unsigned := source.([]uint32); unsigned {
		same := make([]uint32, len(out))
		for i, width := range out {
			same[i] = uint32(width)
		}
		return same
	}
	return out
}

func setKey(keys []gguf.KV, key string, value any) []gguf.KV {
	for i := range keys {
		if keys[i].Key == key {
			keys[i].Value = value
			return keys
		}
	}
	return append(keys, gguf.KV{Key: key, Value: value})
}

// fileTypeNumber returns the number of the file type to write. A file that keeps its types also keeps its number. If it
// has none, the type that stores most values decides.
func (s *slimmer) fileTypeNumber() any {
	if t, ok := s.options.FileType.lookup(); ok {
		return t.number
	}
	if value, ok := s.file.Value(fileTypeKey); ok {
		return value
	}
	values := map[gguf.Type]int64{}
	for _, t := range s.file.Tensors {
		values[t.Type] += t.Elements()
	}
	best, most := uint32(0), int64(0)
	for _, t := range fileTypes { // not counts: iterating over a map would break ties at random
		if n := values[t.kind]; n > most {
			best, most = t.number, n
		}
	}
	return best
}

func (s *slimmer) quantized() bool {
	return slices.ContainsFunc(s.tensors(), func(tensor models.FileTensor) bool {
		_, kind := s.plans(tensor)
		return kind.Quantized()
	})
}
