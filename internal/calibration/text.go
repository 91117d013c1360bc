package calibration

import (
	"bufio"
	"bytes"
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

// The limits of readText.
const (
	maxTextBytes = 1 << 30
	maxLineBytes = 16 << 20 // of a JSONL file
)

// text is the content of a calibration file.
type text struct {
	documents []string // a plain text file has one document
	// chats holds the messages of conversations by the number of the document.
	chats    map[int][]chatMessage
	identity string // see fileIdentity
}

// ErrTextChanged is wrapped by the error for a file that no longer has the content that its identity names.
var ErrTextChanged = errors.New("has changed since it was first read; start again")

// chatMessage is one message of a conversation.
type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// isJSONL reports whether a file's name says that it is JSONL.
func isJSONL(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		return true
	}
	return false
}

// identityOf returns the identity of a text: its format and the SHA-256 of its file in hex.
func identityOf(path string, sum []byte) string {
	if isJSONL(path) {
		return "sha256-jsonl:" + hex.EncodeToString(sum)
	}
	return "sha256:" + hex.EncodeToString(sum)
}

// fileIdentity returns the identity of the text that readText would read. A changed file, or the same file in another
// format, has another identity, because it gives other scores.
func fileIdentity(path string) (string, error) {
	file, _, err := regularfile.Open(path, maxTextBytes)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(file, maxTextBytes)); err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	return identityOf(path, hash.Sum(nil)), nil
}

// readText reads a calibration file. If its name ends in .jsonl or .ndjson it is JSONL, otherwise plain UTF-8 text. A
// JSONL line is an object with a field text or content (a string) or messages (a list of objects with content).
// readText skips lines without text. If the file does not have the given identity, the error wraps ErrTextChanged; an
// empty identity matches any file.
func readText(path, identity string) (*text, error) {
	file, _, err := regularfile.Open(path, maxTextBytes)
	if err != nil {
		return nil, fmt.Errorf("calibration text: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	content := io.TeeReader(io.LimitReader(file, maxTextBytes), hash)
	t := &text{}
	if isJSONL(path) {
		t.documents, t.chats, err = parseJSONL(content)
	} else {
		t.documents, err = parsePlain(content)
	}
	if err != nil {
		return nil, fmt.Errorf("calibration text %q: %w", path, err)
	}
	if t.identity = identityOf(path, hash.Sum(nil)); identity != "" && t.identity != identity {
		return nil, fmt.Errorf("calibration text %q: %w", path, ErrTextChanged)
	}
	return t, nil
}

func parsePlain(r io.Reader) ([]string, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	if isRecords(data) {
		return nil, errors.New("it contains JSON objects; write one object per line and give the file a name that ends in .jsonl")
	}
	text := string(data)
	if err := checkText(text); err != nil {
		return nil, err
	}
	return []string{text}, nil
}

// isRecords reports whether a text begins with an object of JSONL, or with a list of such objects. If it were read as
// prose, half of it would be field names.
func isRecords(text []byte) bool {
	text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte("["))
	var first calibrationLine
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&first); err != nil {
		return false
	}
	return first.Text != nil || first.Content != nil || len(first.Messages) > 0
}

// byteOrderMark is a prefix that some editors write at the start of UTF-8 files.
var byteOrderMark = []byte("\ufeff")

// calibrationLine is one line of JSONL. Other fields are ignored.
type calibrationLine struct {
	Text     *string       `json:"text"`
	Content  *string       `json:"content"`
	Messages []chatMessage `json:"messages"`
}

func parseJSONL(r io.Reader) (documents []string, chats map[int][]chatMessage, err error) {
	chats = map[int][]chatMessage{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLineBytes)
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
		return nil, nil, fmt.Errorf("line %d is longer than %d bytes", number+1, maxLineBytes)
	}
	if lines.Err() != nil {
		return nil, nil, lines.Err()
	}
	if len(documents) == 0 {
		return nil, nil, errors.New("no lines with text")
	}
	return documents, chats, nil
}

func parseLine(line []byte) (document string, chat []chatMessage, err error) {
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

// checkText returns an error for text that a tokenizer cannot process.
func checkText(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errEmptyText
	case !utf8.ValidString(text):
		return errors.New("not valid UTF-8")
	case strings.ContainsRune(text, 0):
		return errors.New("text contains a NUL character")
	}
	return nil
}
