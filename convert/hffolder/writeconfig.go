package hffolder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"

	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// changedConfig returns a source's config.json with the MLP widths and the type of the model that is written.
func changedConfig(data []byte, c models.Config, kind gguf.Type) ([]byte, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // keep the spelling of numbers
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	if fields == nil {
		return nil, errors.New("not an object")
	}
	setWidths(fields, c)
	delete(fields, "dtype")
	fields["torch_dtype"] = torchNames[kind]
	return json.MarshalIndent(fields, "", "  ")
}

// newConfig returns the config.json of a model that has no source folder.
func newConfig(c models.Config, tokenizer models.Tokenizer, kind gguf.Type) ([]byte, error) {
	row, ok := arch.Named(c.Architecture)
	_, uniform := c.UniformWidth()
	if !ok || (uniform && c.AttentionBias != row.AttentionBias) { // the class for a width per layer supports both
		return nil, fmt.Errorf("%w: architecture %q as a safetensors folder", models.ErrUnsupported, c.Architecture)
	}
	row = row.InFolder()
	fields := map[string]any{
		"architectures": []string{row.Folders[0].Name}, "model_type": row.Folders[0].ModelType, "vocab_size": c.VocabSize, "hidden_size": c.HiddenSize,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim,
		"max_position_embeddings": c.ContextLength, "rms_norm_eps": exactFloat(c.RMSEpsilon),
		"rope_theta": exactFloat(c.RoPEBase), "tie_word_embeddings": c.TiedEmbeddings, "hidden_act": row.Activation, "torch_dtype": torchNames[kind],
		"use_cache": true, "attention_dropout": 0.0, "initializer_range": 0.02,
	}
	maps.Copy(fields, row.ConfigFields)
	if row.WindowEvery > 0 {
		writeWindows(fields, c, row)
	}
	setWidths(fields, c)
	for key, id := range map[string]int{"bos_token_id": tokenizer.BOS, "eos_token_id": tokenizer.EOS} {
		if id >= 0 {
			fields[key] = id
		}
	}
	scaling, err := scalingOf(c)
	if err != nil {
		return nil, err
	}
	if scaling != nil {
		fields["rope_scaling"] = scaling
	}
	return json.MarshalIndent(fields, "", "  ")
}

// exactFloat returns the shortest decimal number that reads back as the same float32.
func exactFloat(v float64) json.Number {
	data, _ := json.Marshal(float32(v)) // a finite number has no error
	return json.Number(data)
}

// scalingOf finds the parameters of "rope_scaling" that give a model's RoPE factors, because a GGUF file stores only
// the factors. It returns nil for a model without factors and scale.
func scalingOf(c models.Config) (map[string]any, error) {
	if c.RoPEScale > 0 {
		return map[string]any{"rope_type": "linear", "factor": exactFloat(c.RoPEScale)}, nil
	}
	if c.RoPEFactors == nil {
		return nil, nil
	}
	largest := float64(c.RoPEFactors[0])
	for _, factor := range c.RoPEFactors {
		largest = max(largest, float64(factor))
	}
	if same(c.RoPEFactors, func(int) float64 { return largest }) {
		return map[string]any{"rope_type": "linear", "type": "linear", "factor": largest}, nil
	}
	for _, original := range []float64{8192, 4096, 2048, 16384, 32768} {
		l := llama3{factor: largest, low: 1, high: 4, original: original}
		want := l.factors(c.RoPEDim, c.RoPEBase)
		if same(c.RoPEFactors, func(i int) float64 { return float64(want[i]) }) {
			return map[string]any{
				"rope_type": "llama3", "factor": l.factor, "low_freq_factor": l.low, "high_freq_factor": l.high,
				"original_max_position_embeddings": int(original),
			}, nil
		}
	}
	return nil, fmt.Errorf("%w: no rope_scaling of type llama3 with frequencies 1 to 4 gives the model's RoPE factors; name the model's source folder", models.ErrUnsupported)
}

// same reports whether factors equal want up to the float32 rounding of another implementation.
func same(factors []float32, want func(i int) float64) bool {
	for i, factor := range factors {
		if w := want(i); math.Abs(float64(factor)-w) > 1e-4*w {
			return false
		}
	}
	return true
}
