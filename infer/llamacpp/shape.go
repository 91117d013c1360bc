package llamacpp

import (
	"fmt"
	"strconv"
	"strings"

	"prunellm/models/gguf"
)

// defaultContext caps the context of the model's metadata when Options sets none.
const defaultContext = 4096

// shape holds the sizes in a model's metadata that determine its memory.
type shape struct {
	fileBytes int64
	kvWidth   int64 // elements of keys and values that one token adds to the cache, over all layers
	hidden    int64
	widest    int64 // widest MLP
	vocab     int64
	trained   int  // tokens of context that the model was trained with
	floats    bool // the file stores a matrix as plain floats
	inexact   bool // the file stores a matrix in a way that makes logits depend on the batch

	given given // special tokens that the file names

	layers  []layerShape
	outputs int64 // bytes of the output matrix, which may be the token embedding
	tied    bool  // it is the token embedding
}

// layerShape holds the sizes of one layer.
type layerShape struct {
	bytes   int64 // weights
	kvWidth int64 // elements of keys and values that one token adds to the cache
}

// panels are the block-quantized types whose matmuls sum in the same order for any number of columns; see blocks.h.
var panels = map[gguf.Type]bool{
	gguf.Q8_0: true, gguf.Q4_0: true, gguf.Q4_1: true, gguf.Q5_0: true, gguf.Q5_1: true, gguf.Q4_K: true, gguf.Q5_K: true, gguf.Q6_K: true,
}

// Limits of a shape. Products of them fit 63 bits.
const (
	maxLayers = 512 // llama.cpp's LLAMA_MAX_LAYERS
	maxAxis   = 1 << 22
)

// readShape parses the metadata. It refuses files that would make llama.cpp abort or silently compute wrong results.
func readShape(path string) (shape, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return shape{}, err
	}
	defer file.Close() // only read
	arch, err := file.String("general.architecture")
	if err != nil {
		return shape{}, err
	}
	s := shape{fileBytes: file.Size, given: givenTokens(file)}
	var layers, heads, trained int64
	for _, field := range []struct {
		key   string
		value *int64
		max   int64
	}{
		{"block_count", &layers, maxLayers},
		{"embedding_length", &s.hidden, maxAxis},
		{"context_length", &trained, MaxContext},
	} {
		if *field.value, err = boundedInt(file, arch+"."+field.key, field.max); err != nil {
			return shape{}, err
		}
	}
	s.trained = int(trained)
	if s.widest, err = perLayer(file, arch+".feed_forward_length", layers, maxAxis, func(sum, width int64) int64 { return max(sum, width) }); err != nil {
		return shape{}, err
	}
	if heads, err = perLayer(file, arch+".attention.head_count", layers, maxAxis, func(sum, n int64) int64 { return max(sum, n) }); err != nil {
		return shape{}, err
	}
	kvHeads := make([]int64, 0, layers)
	if _, ok := file.Value(arch + ".attention.head_count_kv"); ok {
		collect := func(_, n int64) int64 { kvHeads = append(kvHeads, n); return 0 }
		if _, err = perLayer(file, arch+".attention.head_count_kv", layers, maxAxis, collect); err != nil {
			return shape{}, err
		}
	} else {
		for range layers {
			kvHeads = append(kvHeads, heads)
		}
	}
	headWidth := int64(0)
	for _, key := range []string{arch + ".attention.key_length", arch + ".attention.value_length"} {
		length := s.hidden / heads
		if _, ok := file.Value(key); ok {
			if length, err = boundedInt(file, key, maxAxis); err != nil {
				return shape{}, err
			}
		}
		headWidth += length
	}
	for _, n := range kvHeads {
		s.layers = append(s.layers, layerShape{kvWidth: n * headWidth})
		s.kvWidth += n * headWidth
	}
	tokens, ok := file.Value("tokenizer.ggml.tokens")
	names, isStrings := tokens.([]string)
	if !ok || !isStrings || len(names) == 0 || len(names) > maxAxis {
		return shape{}, fmt.Errorf("key %q: the file has no vocabulary of up to %d tokens", "tokenizer.ggml.tokens", maxAxis)
	}
	s.vocab = int64(len(names))
	for _, t := range file.Tensors {
		s.see(t)
		s.place(t)
	}
	if s.outputs == 0 {
		s.outputs, s.tied = embeddingBytes(file), true
	}
	return s, nil
}

// see notes how a tensor's type affects matmuls.
func (s *shape) see(t gguf.TensorInfo) {
	plain := t.Type == gguf.F32 || t.Type == gguf.F16 || t.Type == gguf.BF16
	s.floats = s.floats || (plain && len(t.Shape) > 1)
	s.inexact = s.inexact || (!plain && !panels[t.Type]) || len(t.Shape) > 2
}

// place adds a tensor to the bytes of its layer, by its name: "blk.7.ffn_up.weight", "output.weight".
func (s *shape) place(t gguf.TensorInfo) {
	rest, ok := strings.CutPrefix(t.Name, "blk.")
	if !ok {
		if t.Name == "output.weight" {
			s.outputs = t.Size
		}
		return
	}
	number, _, _ := strings.Cut(rest, ".")
	if layer, err := strconv.Atoi(number); err == nil && layer >= 0 && layer < len(s.layers) {
		s.layers[layer].bytes += t.Size
	}
}

func embeddingBytes(file *gguf.File) int64 {
	for _, t := range file.Tensors {
		if t.Name == "token_embd.weight" {
			return t.Size
		}
	}
	return 0
}

func boundedInt(file *gguf.File, key string, limit int64) (int64, error) {
	n, err := file.Int(key)
	if err != nil {
		return 0, err
	}
	if n < 1 || n > limit {
		return 0, fmt.Errorf("key %q is %d, must be 1 to %d", key, n, limit)
	}
	return n, nil
}

// perLayer reads a key that is one number for all layers or an array with one per layer.
func perLayer(file *gguf.File, key string, layers, limit int64, fold func(sum, n int64) int64) (int64, error) {
	values, err := file.Ints(key)
	if err != nil {
		return 0, err
	}
	if len(values) != 1 && int64(len(values)) != layers {
		return 0, fmt.Errorf("key %q has %d values for %d layers", key, len(values), layers)
	}
	sum := int64(0)
	for layer := range layers {
		n := values[min(layer, int64(len(values)-1))]
		if n < 1 || n > limit {
			return 0, fmt.Errorf("key %q is %d in layer %d, must be 1 to %d", key, n, layer, limit)
		}
		sum = fold(sum, n)
	}
	return sum, nil
}

// givenTokens reports which ids the file has, of those with a default in llama.cpp.
func givenTokens(file *gguf.File) given {
	has := func(key string) bool {
		id, err := file.Int("tokenizer.ggml." + key)
		return err == nil && id >= 0
	}
	return given{bos: has("bos_token_id"), eos: has("eos_token_id")}
}
