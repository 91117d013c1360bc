package calibration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"prunellm/convert"
	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// maxParallelSequences bounds how many sequences the dense model writes in parallel. Decoding many sequences together
// is several times faster than decoding them one by one.
const maxParallelSequences = 48

// sideBySide returns how many sequences to write at a time. All rounds get about the same number, because a round of
// few sequences takes nearly as long as a round of many.
func sideBySide(all int) int {
	rounds := (all + maxParallelSequences - 1) / maxParallelSequences
	return (all + rounds - 1) / rounds
}

// writingType is the file type of the copy of the dense model that writes the text. It is close to any original and
// decodes fast at any batch size. Scores are computed with the original model.
const writingType convert.FileType = "q8_0"

// writerFile is the name of that copy in Dense.Scratch.
const writerFile = "writer.gguf"

// selfSource lets the dense model write its own text (arXiv 2410.17170).
type selfSource struct{ dense Dense }

// Sequences implements Source.
func (s selfSource) Sequences(ctx context.Context, want Want, progress func(done, total int)) ([][]int32, error) {
	if progress == nil {
		progress = func(int, int) {}
	}
	progress(0, want.Tokens)
	path := filepath.Join(s.dense.Scratch, writerFile)
	if _, err := convert.Slim(ctx, s.dense.Weights, path, convert.Options{FileType: writingType, Codec: s.dense.Codec}); err != nil {
		return nil, fmt.Errorf("convert the dense model for writing: %w", err)
	}
	defer os.Remove(path)
	parallel := sideBySide((want.Tokens + want.Length - 1) / want.Length)
	model, err := s.dense.OpenModel(ctx, path, want.Length, parallel, true)
	if err != nil {
		return nil, err
	}
	engine := infer.New(model, infer.Options{MaxQueue: 1 << 16}, nil)
	defer engine.Close(context.WithoutCancel(ctx))
	writer := &textWriter{engine: engine, model: model, openings: openingTokens(model), progress: progress}
	if template := chatTemplate(s.dense.Weights); template != nil {
		if writer.chat, err = chatStart(model, template); err != nil {
			return nil, err
		}
		writer.requests = requestTokens(model, template)
	}
	return generated(ctx, writer, want)
}

// textGenerator generates text with a model.
type textGenerator interface {
	// generate returns n sequences of up to length tokens each, sampled from the model with minimal prompts. The same
	// arguments give the same tokens.
	generate(ctx context.Context, n, length int, seed uint64) ([][]int32, error)
}

// generated returns about want.Tokens tokens that the model writes, in sequences of 2 to want.Length tokens.
func generated(ctx context.Context, generator textGenerator, want Want) ([][]int32, error) {
	if want.Tokens < 2 || want.Length < 2 || want.Length > MaxSequence {
		return nil, fmt.Errorf("self-calibration: %d tokens in sequences of %d; both must be at least 2, and a sequence at most %d",
			want.Tokens, want.Length, MaxSequence)
	}
	length := min(want.Length, want.Tokens)
	n := (want.Tokens + length - 1) / length
	written, err := generator.generate(ctx, n, length, want.Seed)
	if err != nil {
		return nil, fmt.Errorf("self-calibration: %w", err)
	}
	var sequences [][]int32
	for _, sequence := range written {
		if len(sequence) >= 2 {
			sequences = append(sequences, sequence[:min(len(sequence), length)])
		}
	}
	if len(sequences) == 0 {
		return nil, errors.New("self-calibration: the model wrote no text")
	}
	return sequences, nil
}

// openingTokens returns the openings as tokens. BOS precedes them if the model's texts begin with it. openingTokens
// skips openings that the vocabulary cannot express.
func openingTokens(model Model) [][]infer.Token {
	var tokens [][]infer.Token
	for _, o := range openings() {
		bare, err := model.Tokenize(o.text, false, false)
		if err != nil || len(bare) == 0 {
			continue
		}
		if bos, adds := model.BOS(); adds {
			bare = append([]infer.Token{bos}, bare...)
		}
		tokens = append(tokens, bare)
	}
	return tokens
}

// requestTokens returns the requests as prompts of the chat template, up to the beginning of the answer. It returns
// none if the template rejects a single message.
func requestTokens(model Model, template *chat.Template) [][]infer.Token {
	var tokens [][]infer.Token
	for _, request := range requests() {
		prompt, err := template.Prompt([]openapi.Message{{Role: "user", Content: request}}, nil, true)
		if err != nil {
			return nil
		}
		prompted, err := model.Tokenize(prompt, false, true)
		if err != nil || len(prompted) == 0 {
			continue
		}
		tokens = append(tokens, prompted)
	}
	return tokens
}

// chatStart returns the part of a chat that precedes the user's message. From there the model writes the message and
// its answer (compare Magpie, arXiv 2406.08464).
func chatStart(model Model, template *chat.Template) ([]infer.Token, error) {
	const mark = "MESSAGE"
	prompt, err := template.Prompt([]openapi.Message{{Role: "user", Content: mark}}, nil, false)
	if err != nil {
		return nil, nil //nolint:nilerr // a template that rejects a single message cannot be used here
	}
	before, _, found := strings.Cut(prompt, mark)
	if !found || before == "" {
		return nil, nil
	}
	return model.Tokenize(before, false, true)
}
