package prune

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"prunellm/internal/regularfile"
)

// Limits of LoadText.
const (
	MaxTextBytes = 1 << 30
	MaxLineBytes = 16 << 20 // of a JSONL file
)

// Text is what a calibration file says.
type Text struct {
	Documents []string // a plain text file is one document
	// Chats are the messages of those documents that are conversations, by the document's number.
	Chats  map[int][]ChatMessage
	Source string // as TextSource gives it
}

// ErrTextChanged is wrapped when a file no longer says what it said.
var ErrTextChanged = errors.New("changed since it was read first: start again")

// ChatMessage is one message of a conversation.
type ChatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// isJSONL tells by a file's name how it is read.
func isJSONL(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		return true
	}
	return false
}

// sourceOf identifies a text by the SHA-256 of its file, in hex, and by how it is read.
func sourceOf(path string, sum []byte) string {
	if isJSONL(path) {
		return "sha256-jsonl:" + hex.EncodeToString(sum)
	}
	return "sha256:" + hex.EncodeToString(sum)
}

// TextSource identifies what LoadText would read, for the Calibration of a recipe: a file that was changed, or is read another way, gives
// other scores.
func TextSource(path string) (string, error) {
	file, _, err := regularfile.Open(path, MaxTextBytes)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(file, MaxTextBytes)); err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	return sourceOf(path, hash.Sum(nil)), nil
}

// LoadText reads a calibration file: JSONL when its name ends in .jsonl or .ndjson, plain UTF-8 text otherwise. A JSONL
// line is an object with a field text or content (a string) or messages (a list of objects with content); lines without text are left out. A
// file that is not the source, as TextSource gave it, is an error that wraps ErrTextChanged; an empty source is any.
func LoadText(path, source string) (*Text, error) {
	file, _, err := regularfile.Open(path, MaxTextBytes)
	if err != nil {
		return nil, fmt.Errorf("calibration text: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	content := io.TeeReader(io.LimitReader(file, MaxTextBytes), hash)
	text := &Text{}
	if isJSONL(path) {
		text.Documents, text.Chats, err = parseJSONL(content)
	} else {
		text.Documents, err = parsePlain(content)
	}
	if err != nil {
		return nil, fmt.Errorf("calibration text %q: %w", path, err)
	}
	if text.Source = sourceOf(path, hash.Sum(nil)); source != "" && text.Source != source {
		return nil, fmt.Errorf("calibration text %q: %w", path, ErrTextChanged)
	}
	return text, nil
}

func parsePlain(r io.Reader) ([]string, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	if isRecords(data) {
		return nil, errors.New("holds JSON objects with text, but its name does not say so: write one object a line and let the name end in .jsonl")
	}
	text := string(data)
	if err := checkText(text); err != nil {
		return nil, err
	}
	return []string{text}, nil
}

// isRecords tells whether a text begins with an object of JSONL, or with a list of such objects. Taken as prose, half of it would be field names.
func isRecords(text []byte) bool {
	text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte("["))
	var first calibrationLine
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&first); err != nil {
		return false
	}
	return first.Text != nil || first.Content != nil || len(first.Messages) > 0
}

// byteOrderMark is what some editors put before UTF-8.
var byteOrderMark = []byte("\ufeff")

// calibrationLine is one line of JSONL; other fields are ignored.
type calibrationLine struct {
	Text     *string       `json:"text"`
	Content  *string       `json:"content"`
	Messages []ChatMessage `json:"messages"`
}

func parseJSONL(r io.Reader) (documents []string, chats map[int][]ChatMessage, err error) {
	chats = map[int][]ChatMessage{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxLineBytes)
	number := 0
	for lines.Scan() {
		line := lines.Bytes()
		if number++; number == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		document, chat, err := parseLine(line)
		if errors.Is(err, errEmptyText) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", number, err)
		}
		if chat != nil {
			chats[len(documents)] = chat
		}
		documents = append(documents, document)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, nil, fmt.Errorf("line %d is longer than %d bytes", number+1, MaxLineBytes)
	}
	if lines.Err() != nil {
		return nil, nil, lines.Err()
	}
	if len(documents) == 0 {
		return nil, nil, errors.New("no lines with text")
	}
	return documents, chats, nil
}

func parseLine(line []byte) (document string, chat []ChatMessage, err error) {
	if !utf8.Valid(line) {
		return "", nil, errors.New("not valid UTF-8")
	}
	var parsed calibrationLine
	if err := json.Unmarshal(line, &parsed); err != nil {
		return "", nil, fmt.Errorf("not a JSON object with text, content or messages: %w", err)
	}
	switch {
	case parsed.Text != nil:
		document = *parsed.Text
	case parsed.Content != nil:
		document = *parsed.Content
	case len(parsed.Messages) > 0:
		parts := make([]string, len(parsed.Messages))
		for i, message := range parsed.Messages {
			parts[i] = message.Content
		}
		document, chat = strings.Join(parts, "\n"), parsed.Messages
	default:
		return "", nil, errors.New("no field text, content or messages")
	}
	return document, chat, checkText(document)
}

var errEmptyText = errors.New("empty text")

// checkText refuses what a tokenizer cannot take.
func checkText(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errEmptyText
	case !utf8.ValidString(text):
		return errors.New("not valid UTF-8")
	case strings.ContainsRune(text, 0):
		return errors.New("text holds a NUL character")
	}
	return nil
}

// Sequences cuts tokens into sequences of one length, at most budget tokens in all. When there are more tokens than
// that, the sequences are spread evenly over the text. A rest that fills no sequence is dropped, unless it is all there
// is. length is at least 2.
func Sequences(tokens []int32, length, budget int) [][]int32 {
	length = max(length, 2)
	count := min(len(tokens), budget) / length
	if count == 0 {
		if rest := min(len(tokens), budget, length); rest >= 2 {
			return [][]int32{tokens[:rest]}
		}
		return nil
	}
	sequences := make([][]int32, count)
	for i := range sequences {
		start := i * length
		if count > 1 && len(tokens) > budget {
			start = i * (len(tokens) - length) / (count - 1)
		}
		sequences[i] = tokens[start : start+length]
	}
	return sequences
}

// TextGenerator lets the dense model write: an inference engine, seen from here.
type TextGenerator interface {
	// Generate returns n sequences of up to length tokens each, sampled from the model without a prompt beyond what it
	// needs to begin. The same arguments give the same tokens.
	Generate(ctx context.Context, n, length int, seed uint64) ([][]int32, error)
}

// SelfCalibrate lets the dense model write its own calibration tokens (arXiv 2410.17170): about tokens of them in
// sequences of up to length.
func SelfCalibrate(ctx context.Context, generator TextGenerator, tokens, length int, seed uint64) ([][]int32, error) {
	if tokens < 2 || length < 2 || length > MaxSequence {
		return nil, fmt.Errorf("self-calibration: %d tokens in sequences of %d, want at least 2 and at most %d a sequence",
			tokens, length, MaxSequence)
	}
	length = min(length, tokens)
	n := (tokens + length - 1) / length
	written, err := generator.Generate(ctx, n, length, seed)
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
		return nil, errors.New("self-calibration: the model wrote nothing to calibrate on")
	}
	return sequences, nil
}
