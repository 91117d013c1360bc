package tinymodel

import (
	"fmt"
	"slices"

	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// ChatTemplate is the ChatML template of the model.
const ChatTemplate = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}" +
	"{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

// Special tokens of the model.
const (
	EndOfText = 0
	ImStart   = 1
	ImEnd     = 2 // ends an answer
)

var specials = [...]string{EndOfText: "<|endoftext|>", ImStart: "<|im_start|>", ImEnd: "<|im_end|>"}

// merges are those of the byte pair encoding, by priority. "Ġ" is a space.
var merges = [...][2]string{
	{"Ġ", "t"}, {"Ġ", "a"}, {"i", "n"}, {"h", "e"}, {"r", "e"}, {"o", "n"}, {"Ġt", "he"}, {"e", "r"}, {"Ġ", "s"}, {"a", "t"},
	{"Ġ", "w"}, {"Ġ", "o"}, {"e", "n"}, {"Ġ", "c"}, {"i", "t"}, {"i", "s"}, {"a", "n"}, {"o", "r"}, {"e", "s"}, {"Ġ", "b"},
	{"e", "d"}, {"Ġ", "f"}, {"in", "g"}, {"Ġ", "p"}, {"o", "u"}, {"Ġa", "n"}, {"a", "l"}, {"a", "r"}, {"Ġt", "o"}, {"Ġ", "m"},
	{"Ġo", "f"}, {"Ġ", "in"}, {"Ġ", "d"}, {"Ġ", "h"}, {"Ġan", "d"}, {"u", "s"}, {"a", "s"}, {"s", "er"},
}

// byteRunes returns the alphabet of byte-level BPE: a printable character for every byte.
func byteRunes() [256]rune {
	var runes [256]rune
	next := rune(256)
	for b := range 256 {
		if (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae {
			runes[b] = rune(b)
			continue
		}
		runes[b] = next
		next++
	}
	return runes
}

// filled returns the vocabulary with at least size tokens. The added ones are numbers after a space.
func filled(size int) []string {
	tokens := vocabulary()
	for i := len(tokens); i < size; i++ {
		tokens = append(tokens, fmt.Sprintf("Ġ%d", i))
	}
	return tokens
}

// vocabulary returns the tokens: the special ones, the bytes, the merges.
func vocabulary() []string {
	tokens := append([]string{}, specials[:]...)
	for _, r := range byteRunes() {
		tokens = append(tokens, string(r))
	}
	for _, m := range merges {
		tokens = append(tokens, m[0]+m[1])
	}
	return tokens
}

func (o Options) keys(c models.Config) []gguf.KV {
	p := c.Architecture + "."
	keys := []gguf.KV{
		{Key: "general.architecture", Value: c.Architecture},
		{Key: "general.type", Value: "model"},
		{Key: "general.name", Value: c.Name},
		{Key: p + "block_count", Value: uint32(c.Layers)},
		{Key: p + "context_length", Value: uint32(c.ContextLength)},
		{Key: p + "embedding_length", Value: uint32(c.HiddenSize)},
		{Key: p + "feed_forward_length", Value: widths(c)},
		{Key: p + "attention.head_count", Value: uint32(c.Heads)},
		{Key: p + "attention.head_count_kv", Value: uint32(c.KVHeads)},
		{Key: p + "attention.key_length", Value: uint32(c.HeadDim)},
		{Key: p + "attention.value_length", Value: uint32(c.HeadDim)},
		{Key: p + "attention.layer_norm_rms_epsilon", Value: float32(c.RMSEpsilon)},
		{Key: p + "rope.freq_base", Value: float32(c.RoPEBase)},
		{Key: p + "rope.dimension_count", Value: uint32(c.RoPEDim)},
		{Key: p + "vocab_size", Value: uint32(c.VocabSize)},
	}
	if c.RoPEScale > 0 {
		keys = append(keys, gguf.KV{Key: p + "rope.scaling.type", Value: "linear"}, gguf.KV{Key: p + "rope.scaling.factor", Value: float32(c.RoPEScale)})
	}
	if c.Window > 0 {
		keys = append(keys, gguf.KV{Key: p + "attention.sliding_window", Value: uint32(c.Window)})
	}
	keys = append(keys, tokenizer(c)...)
	for _, kv := range o.Keys {
		keys = set(keys, kv)
	}
	return slices.DeleteFunc(keys, func(kv gguf.KV) bool { return slices.Contains(o.Without, kv.Key) })
}

func set(keys []gguf.KV, kv gguf.KV) []gguf.KV {
	for i := range keys {
		if keys[i].Key == kv.Key {
			keys[i] = kv
			return keys
		}
	}
	return append(keys, kv)
}

func widths(c models.Config) any {
	if width, uniform := c.UniformWidth(); uniform {
		return uint32(width)
	}
	out := make([]int32, len(c.FFN))
	for i, width := range c.FFN {
		out[i] = int32(width)
	}
	return out
}

func tokenizer(c models.Config) []gguf.KV {
	tokens := filled(c.VocabSize)
	types := make([]int32, len(tokens))
	for i := range types {
		types[i] = 1 // normal
		if i < len(specials) {
			types[i] = 3 // control
		}
	}
	lines := make([]string, len(merges))
	for i, m := range merges {
		lines[i] = m[0] + " " + m[1]
	}
	row, _ := arch.Named(c.Architecture)
	return []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: models.ByteLevelBPE},
		{Key: "tokenizer.ggml.pre", Value: row.PreTokenizer},
		{Key: "tokenizer.ggml.tokens", Value: tokens},
		{Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: lines},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(ImStart)},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(ImEnd)},
		{Key: "tokenizer.ggml.unknown_token_id", Value: uint32(EndOfText)},
		{Key: "tokenizer.ggml.padding_token_id", Value: uint32(ImEnd)},
		{Key: "tokenizer.ggml.add_bos_token", Value: false},
		{Key: "tokenizer.chat_template", Value: ChatTemplate},
	}
}
