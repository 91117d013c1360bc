package variant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"prunellm/models"
	"prunellm/models/safetensors"
	"prunellm/prune"
)

// The limits of calibration tokens from any source.
const (
	maxSequences = 1 << 16
	maxTokens    = 1 << 24
)

// MaxTokenFileBytes bounds the stored form of calibration tokens.
const MaxTokenFileBytes = 256 << 20

// maxHeldOut bounds the number of held-out tokens, so that measuring a card takes only seconds.
const maxHeldOut = 1 << 15

// Text is calibration text as sequences of token ids.
type Text struct {
	Tokens  [][]int32 // for scores and refits; see Scored
	Further [][]int32 // only for refits
	HeldOut [][]int32 // for cards; no score or refit reads it; empty if the text is too short
}

// Refit returns the sequences to refit on, up to the given number of tokens: the scored ones, then further ones. If the
// scored sequences alone have more tokens, it returns some of them, spread evenly.
func (t Text) Refit(tokens int) [][]int32 {
	if tokens >= tokensIn(t.Tokens) {
		return slices.Concat(t.Tokens, t.Further)
	}
	return spread(t.Tokens, tokens)
}

// Scored returns the sequences that a spec's scores read: all of Tokens, or a part of them, spread evenly.
func (t Text) Scored(spec Spec) [][]int32 {
	if spec.Text() == spec.Recipe.Tokens || spec.Recipe.Tokens >= tokensIn(t.Tokens) {
		return t.Tokens
	}
	return spread(t.Tokens, spec.Recipe.Tokens)
}

// spread picks sequences of about so many tokens, spread evenly over all of them, and at least one.
func spread(sequences [][]int32, tokens int) [][]int32 {
	picked := make([][]int32, max(len(sequences)*tokens/tokensIn(sequences), 1))
	for i := range picked {
		picked[i] = sequences[i*len(sequences)/len(picked)]
	}
	return picked
}

// tokensIn returns the number of tokens in all sequences.
func tokensIn(sequences [][]int32) (tokens int) {
	for _, sequence := range sequences {
		tokens += len(sequence)
	}
	return tokens
}

// textFile is the stored form of Text. It is JSON, which people and `prunellm score` can read.
type textFile struct {
	Tokens  sequences `json:"tokens"`
	Further sequences `json:"further,omitempty"`
	HeldOut sequences `json:"held_out,omitempty"`
}

// sequences is a list of lists of token ids. Decoding rejects null as an id, which encoding/json would read as token 0.
type sequences [][]int32

// UnmarshalJSON implements json.Unmarshaler.
func (s *sequences) UnmarshalJSON(raw []byte) error {
	if err := json.Unmarshal(raw, (*[][]int32)(s)); err != nil {
		return err
	}
	before, _, found := bytes.Cut(raw, []byte("null"))
	begin, end := bytes.LastIndexByte(before, '['), bytes.LastIndexByte(before, ']')
	sequence := bytes.Count(before, []byte("[")) - 2 // do not count the outer bracket; start from 0
	if !found || begin < end || sequence < 0 {
		return nil // null stands for an empty list
	}
	return fmt.Errorf("token %d of sequence %d is null but must be a number", bytes.Count(before[begin:], []byte(",")), sequence)
}

// EncodeText returns the stored form of calibration text.
func EncodeText(text Text) ([]byte, error) {
	return json.Marshal(textFile{Tokens: text.Tokens, Further: text.Further, HeldOut: text.HeldOut})
}

// DecodeTokens reads the member "tokens" of a JSON object, int32[sequences][tokens]. It ignores other members of any
// type. It checks tokens like DecodeText.
func DecodeTokens(value []byte, vocab int) ([][]int32, error) {
	if len(value) > MaxTokenFileBytes {
		return nil, fmt.Errorf("tokens: %d bytes; the limit is %d", len(value), MaxTokenFileBytes)
	}
	var members map[string]json.RawMessage // a map compares names exactly; a struct would ignore case
	if err := json.Unmarshal(value, &members); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	raw, ok := members["tokens"]
	if !ok {
		return nil, errors.New(`tokens: there is no member "tokens"`)
	}
	var tokens sequences
	if err := json.Unmarshal(raw, &tokens); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return tokens, Text{Tokens: tokens}.check(vocab)
}

// DecodeText is the inverse of EncodeText. It reads only the members "tokens", "further" and "held_out", of which the
// last two may be missing. Every token must be below vocab, and every sequence must have at least two tokens.
func DecodeText(value []byte, vocab int) (Text, error) {
	if len(value) > MaxTokenFileBytes {
		return Text{}, fmt.Errorf("tokens: %d bytes; the limit is %d", len(value), MaxTokenFileBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	var file textFile
	if err := decoder.Decode(&file); err != nil {
		return Text{}, fmt.Errorf("tokens: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Text{}, errors.New("tokens: there are bytes after the JSON object")
	}
	text := Text{Tokens: file.Tokens, Further: file.Further, HeldOut: file.HeldOut}
	return text, text.check(vocab)
}

func (t Text) check(vocab int) error {
	if len(t.Tokens) == 0 {
		return fmt.Errorf("tokens: 0 sequences; there must be 1 to %d", maxSequences)
	}
	if err := checkSequences("tokens", t.Tokens, maxTokens, vocab); err != nil {
		return err
	}
	if err := checkSequences("further", t.Further, maxTokens, vocab); err != nil {
		return err
	}
	return checkSequences("held_out", t.HeldOut, maxHeldOut, vocab)
}

// checkSequences returns an error for the first sequence that is not valid. member is the name of the list, for the
// error.
func checkSequences(member string, sequences [][]int32, limit, vocab int) error {
	if len(sequences) > maxSequences {
		return fmt.Errorf("%s: %d sequences; the limit is %d", member, len(sequences), maxSequences)
	}
	total := 0
	for i, sequence := range sequences {
		if len(sequence) < 2 {
			return fmt.Errorf("%s: sequence %d has %d tokens; at least 2 are needed", member, i, len(sequence))
		}
		if total += len(sequence); total > limit {
			return fmt.Errorf("%s: more than %d tokens in all sequences", member, limit)
		}
		for j, token := range sequence {
			if token < 0 || int(token) >= vocab {
				return fmt.Errorf("%s: token %d of sequence %d is %d, but the vocabulary has %d tokens", member, j, i, token, vocab)
			}
		}
	}
	return nil
}

// The tensors of a score file, float32[layers, neurons].
const (
	stage1Tensor = "stage1"
	stage2Tensor = "stage2"
)

// EncodeScores returns scores as a safetensors file with the tensors "stage1" and "stage2", float32[layers, neurons].
// It pads narrower layers with zeros to the width of the widest one.
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

// DecodeScores is the inverse of EncodeScores for a model with that config. The result has no losses. DecodeScores
// returns an error if a score is negative, NaN or infinite.
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
		return nil, fmt.Errorf("tensor %q has shape %v instead of [%d %d]", name, shape, config.Layers, width)
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
