package tinymodel

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"prunellm/models/gguf"
)

// tensor is a name and a shape, slowest axis first. "L" in a name is the number of a layer.
type tensor struct {
	name  string
	shape []int
}

// served are architectures that llama.cpp runs and prunellm does not prune. It has their keys in addition to those of
// Options.keys, and the tensors of a layer.
var served = map[string]struct {
	keys    map[string]any
	tensors []tensor
}{
	"qwen3moe": {
		map[string]any{"expert_count": uint32(4), "expert_used_count": uint32(2), "expert_feed_forward_length": uint32(32)},
		[]tensor{
			{"blk.L.attn_norm.weight", []int{64}}, {"blk.L.attn_q.weight", []int{64, 64}}, {"blk.L.attn_k.weight", []int{32, 64}},
			{"blk.L.attn_v.weight", []int{32, 64}}, {"blk.L.attn_output.weight", []int{64, 64}}, {"blk.L.attn_q_norm.weight", []int{16}},
			{"blk.L.attn_k_norm.weight", []int{16}}, {"blk.L.ffn_norm.weight", []int{64}}, {"blk.L.ffn_gate_inp.weight", []int{4, 64}},
			{"blk.L.ffn_gate_exps.weight", []int{4, 32, 64}}, {"blk.L.ffn_down_exps.weight", []int{4, 64, 32}},
			{"blk.L.ffn_up_exps.weight", []int{4, 32, 64}},
		},
	},
	"gpt-oss": {
		map[string]any{
			"expert_count": uint32(4), "expert_used_count": uint32(2), "expert_feed_forward_length": uint32(32),
			"attention.sliding_window": uint32(32),
		},
		[]tensor{
			{"blk.L.attn_norm.weight", []int{64}}, {"blk.L.post_attention_norm.weight", []int{64}}, {"blk.L.attn_q.weight", []int{64, 64}},
			{"blk.L.attn_k.weight", []int{32, 64}}, {"blk.L.attn_v.weight", []int{32, 64}}, {"blk.L.attn_output.weight", []int{64, 64}},
			{"blk.L.attn_q.bias", []int{64}}, {"blk.L.attn_k.bias", []int{32}}, {"blk.L.attn_v.bias", []int{32}},
			{"blk.L.attn_output.bias", []int{64}}, {"blk.L.attn_sinks.weight", []int{4}}, {"blk.L.ffn_gate_inp.weight", []int{4, 64}},
			{"blk.L.ffn_gate_inp.bias", []int{4}}, {"blk.L.ffn_gate_exps.weight", []int{4, 32, 64}}, {"blk.L.ffn_gate_exps.bias", []int{4, 32}},
			{"blk.L.ffn_down_exps.weight", []int{4, 64, 32}}, {"blk.L.ffn_down_exps.bias", []int{4, 64}},
			{"blk.L.ffn_up_exps.weight", []int{4, 32, 64}}, {"blk.L.ffn_up_exps.bias", []int{4, 32}},
		},
	},
	"gemma2": {
		map[string]any{"attention.sliding_window": uint32(32)},
		[]tensor{
			{"blk.L.attn_norm.weight", []int{64}}, {"blk.L.attn_q.weight", []int{64, 64}}, {"blk.L.attn_k.weight", []int{32, 64}},
			{"blk.L.attn_v.weight", []int{32, 64}}, {"blk.L.attn_output.weight", []int{64, 64}},
			{"blk.L.post_attention_norm.weight", []int{64}}, {"blk.L.ffn_norm.weight", []int{64}},
			{"blk.L.post_ffw_norm.weight", []int{64}}, {"blk.L.ffn_gate.weight", []int{96, 64}}, {"blk.L.ffn_up.weight", []int{96, 64}},
			{"blk.L.ffn_down.weight", []int{64, 96}},
		},
	},
}

// ServedOnly lists the architectures that WriteServedOnly writes.
func ServedOnly() []string { return []string{"qwen3moe", "gpt-oss", "gemma2"} }

// WriteServedOnly writes a random model that llama.cpp runs and prunellm does not prune. llama.cpp aborts on a gemma2 model of
// one layer.
func WriteServedOnly(path, architecture string, layers int) error {
	model, ok := served[architecture]
	if !ok {
		return fmt.Errorf("tiny model: %q is not an architecture of ServedOnly", architecture)
	}
	o := Options{Layers: layers}
	config := o.Config()
	config.Architecture = architecture
	keys := o.keys(config)
	keys = set(keys, gguf.KV{Key: "tokenizer.ggml.pre", Value: "qwen2"})
	for _, name := range slices.Sorted(maps.Keys(model.keys)) {
		keys = set(keys, gguf.KV{Key: architecture + "." + name, Value: model.keys[name]})
	}
	tensors := []gguf.Source{
		random("token_embd.weight", []int{config.VocabSize, 64}), random("output_norm.weight", []int{64}),
		random("output.weight", []int{config.VocabSize, 64}),
	}
	if architecture == "gemma2" {
		tensors = tensors[:2] // tied
	}
	for layer := range config.Layers {
		for _, t := range model.tensors {
			tensors = append(tensors, random(strings.Replace(t.name, "L", fmt.Sprint(layer), 1), t.shape))
		}
	}
	return gguf.Write(context.Background(), path, keys, tensors)
}

// random returns a tensor of random values: around 1 for norms, around 0 for others.
func random(name string, shape []int) gguf.Source {
	return gguf.Source{Name: name, Type: gguf.F32, Shape: shape, Write: func(_ context.Context, w io.Writer) error {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(name)) // a hash never fails
		source := rand.New(rand.NewPCG(1, hash.Sum64()))
		mean, deviation := 0.0, 1.2/math.Sqrt(float64(shape[len(shape)-1]))
		if strings.HasSuffix(name, "norm.weight") {
			mean, deviation = 1, 0.2
		}
		size := 1
		for _, d := range shape {
			size *= d
		}
		values := make([]float32, size)
		for i := range values {
			values[i] = float32(mean + deviation*source.NormFloat64())
		}
		raw, err := gguf.EncodeFloats(gguf.F32, values)
		if err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	}}
}
