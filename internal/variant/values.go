package variant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"prunellm/convert/safetensors"
	"prunellm/models"
	"prunellm/prune"
)

// Limits of calibration tokens, wherever they come from.
const (
	maxSequences = 1 << 16
	maxTokens    = 1 << 24
)

// MaxTokenFileBytes bounds calibration tokens in stored form.
const MaxTokenFileBytes = 256 << 20

// tokenFile is the stored form of calibration tokens: JSON, so that it can be read, and given to `prunellm score`.
type tokenFile struct {
	Tokens [][]int32 `json:"tokens"`
}

// EncodeTokens packs calibration sequences.
func EncodeTokens(sequences [][]int32) ([]byte, error) {
	return json.Marshal(tokenFile{Tokens: sequences})
}

// DecodeTokens is the inverse of EncodeTokens. It reads the member "tokens" alone and checks that every token is below
// vocab and every sequence has at least two.
func DecodeTokens(value []byte, vocab int) ([][]int32, error) {
	if len(value) > MaxTokenFileBytes {
		return nil, fmt.Errorf("tokens: %d bytes, want at most %d", len(value), MaxTokenFileBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	var file tokenFile
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("tokens: bytes after the JSON object")
	}
	if len(file.Tokens) == 0 || len(file.Tokens) > maxSequences {
		return nil, fmt.Errorf("tokens: %d sequences, want 1 to %d", len(file.Tokens), maxSequences)
	}
	total := 0
	for i, sequence := range file.Tokens {
		if len(sequence) < 2 {
			return nil, fmt.Errorf("tokens: sequence %d has %d tokens, want at least 2", i, len(sequence))
		}
		if total += len(sequence); total > maxTokens {
			return nil, fmt.Errorf("tokens: more than %d in all", maxTokens)
		}
		for j, token := range sequence {
			if token < 0 || int(token) >= vocab {
				return nil, fmt.Errorf("tokens: token %d of sequence %d is %d, the vocabulary has %d", j, i, token, vocab)
			}
		}
	}
	return file.Tokens, nil
}

// The tensors of a score file, float32[layers, neurons].
const (
	stage1Tensor = "stage1"
	stage2Tensor = "stage2"
)

// EncodeScores packs scores as a safetensors file with the tensors "stage1" and "stage2", float32[layers, neurons]; a
// layer with fewer neurons than the widest is filled up with zeros.
func EncodeScores(scores *prune.Scores) ([]byte, error) {
	return safetensors.Encode([]safetensors.Tensor{matrix(stage1Tensor, scores.Stage1), matrix(stage2Tensor, scores.Stage2)}, nil)
}

func matrix(name string, rows [][]float32) safetensors.Tensor {
	width := 0
	for _, row := range rows {
		width = max(width, len(row))
	}
	values := make([]float32, len(rows)*width)
	for i, row := range rows {
		copy(values[i*width:], row)
	}
	return safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: []int{len(rows), width}, Values: values}
}

// DecodeScores is the inverse of EncodeScores for a model of that architecture. Losses are not stored.
func DecodeScores(value []byte, config models.Config) (*prune.Scores, error) {
	file, err := safetensors.Parse(bytes.NewReader(value), int64(len(value)))
	if err != nil {
		return nil, fmt.Errorf("scores: %w", err)
	}
	var scores prune.Scores
	for name, target := range map[string]*[][]float32{stage1Tensor: &scores.Stage1, stage2Tensor: &scores.Stage2} {
		if *target, err = scoreRows(file, name, config); err != nil {
			return nil, fmt.Errorf("scores: %w", err)
		}
	}
	return &scores, nil
}

func scoreRows(file *safetensors.File, name string, config models.Config) ([][]float32, error) {
	values, shape, err := file.Float32s(name)
	if err != nil {
		return nil, err
	}
	width := 0
	for _, neurons := range config.FFN {
		width = max(width, neurons)
	}
	if len(shape) != 2 || shape[0] != config.Layers || shape[1] != width {
		return nil, fmt.Errorf("tensor %q has shape %v, want [%d %d]", name, shape, config.Layers, width)
	}
	rows := make([][]float32, config.Layers)
	for layer := range rows {
		rows[layer] = values[layer*width:][:config.FFN[layer]]
		for neuron, v := range rows[layer] {
			if v != v || v < 0 || v-v != 0 {
				return nil, fmt.Errorf("tensor %q: layer %d, neuron %d is %v", name, layer, neuron, v)
			}
		}
	}
	return rows, nil
}
