package store

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxHeaderBytes bounds the size of an encoded Header, including its newline.
const MaxHeaderBytes = 1 << 10

// maxChunks bounds the number of chunks of one value.
const maxChunks = 1 << 12

// Header describes a stored value and precedes it. If the value is stored in chunks elsewhere, the header is written
// alone and last, so that a readable header means a complete value.
//
// Its encoding is one line of JSON with exactly these fields in this order, without spaces, that ends in a newline.
// DecodeHeader rejects any other encoding.
type Header struct {
	Version    int    `json:"version"`     // FormatVersion
	Key        string `json:"key"`         // canonical key; exposes an entry that was copied to another key
	ID         string `json:"id"`          // 32 random hex digits, new for each write
	Size       int64  `json:"size"`        // bytes of the value
	SHA256     string `json:"sha256"`      // sha256 of the value, 64 hex digits
	ChunkBytes int64  `json:"chunk_bytes"` // bytes of each chunk but the last; 0 if the value follows the header
	Chunks     int    `json:"chunks"`      // number of chunks; 0 if the value follows the header
}

// NewHeader returns the header of a value. If chunkBytes is above 0, the value is stored separately in chunks of this
// size.
func NewHeader(key Key, value []byte, chunkBytes int64) Header {
	sum := sha256.Sum256(value)
	var id [16]byte
	rand.Read(id[:]) // never fails (see crypto/rand)
	header := Header{
		Version: FormatVersion, Key: key.String(), ID: hex.EncodeToString(id[:]),
		Size: int64(len(value)), SHA256: hex.EncodeToString(sum[:]),
	}
	if chunkBytes > 0 && header.Size > 0 {
		header.ChunkBytes = chunkBytes
		header.Chunks = int((header.Size + chunkBytes - 1) / chunkBytes)
	}
	return header
}

// Encode returns the header line, including the newline.
func (h Header) Encode() ([]byte, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode header: %w", err)
	}
	if h.Chunks > maxChunks {
		return nil, fmt.Errorf("value of %d bytes needs %d chunks; the limit is %d", h.Size, h.Chunks, maxChunks)
	}
	return append(line, '\n'), nil
}

// DecodeHeader decodes the header at the start of data and checks every field. Size must be at most maxBytes, and
// Chunks and ChunkBytes must be consistent with it. DecodeHeader returns the header and its length in data.
func DecodeHeader(data []byte, key Key, maxBytes int64) (header Header, length int, err error) {
	end := bytes.IndexByte(data[:min(len(data), MaxHeaderBytes)], '\n')
	if end < 0 {
		return Header{}, 0, errors.New("header line is missing or too long")
	}
	line := data[:end]
	decoder := json.NewDecoder(bytes.NewReader(line))
	if err := decoder.Decode(&header); err != nil {
		return Header{}, 0, fmt.Errorf("header is not valid: %w", err)
	}
	if header.Version != FormatVersion {
		return Header{}, 0, fmt.Errorf("header has format version %d instead of %d", header.Version, FormatVersion)
	}
	if err := header.check(key, maxBytes); err != nil {
		return Header{}, 0, err
	}
	canonical, err := header.Encode()
	if err != nil {
		return Header{}, 0, err
	}
	if !bytes.Equal(canonical, data[:end+1]) {
		return Header{}, 0, errors.New("header is not in canonical form")
	}
	return header, end + 1, nil
}

// check returns an error if a field is not valid. The version must already be checked.
func (h Header) check(key Key, maxBytes int64) error {
	switch {
	case h.Key != key.String():
		return fmt.Errorf("header is for key %.400q", h.Key)
	case !isHex(h.ID, 32):
		return errors.New("header id is not 32 hex digits")
	case !isHex(h.SHA256, sha256.Size*2):
		return errors.New("header sha256 is not 64 hex digits")
	case h.Size < 0 || h.Size > maxBytes:
		return fmt.Errorf("header size is %d but must be 0 to %d", h.Size, maxBytes)
	case h.Chunks < 0 || h.Chunks > maxChunks:
		return fmt.Errorf("header has %d chunks but must have 0 to %d", h.Chunks, maxChunks)
	case h.Chunks == 0 && h.ChunkBytes != 0:
		return errors.New("header has a chunk size without chunks")
	case h.Chunks > 0 && (h.ChunkBytes <= 0 || h.ChunkBytes > maxBytes):
		return fmt.Errorf("header chunk size is %d but must be 1 to %d", h.ChunkBytes, maxBytes)
	case h.Chunks > 0 && int64(h.Chunks) != (h.Size-1)/h.ChunkBytes+1:
		return fmt.Errorf("header has %d chunks of %d bytes for %d bytes", h.Chunks, h.ChunkBytes, h.Size)
	}
	return nil
}

// ChunkSize returns the length of chunk i in bytes, where 0 <= i < Chunks.
func (h Header) ChunkSize(i int) int64 {
	return min(h.ChunkBytes, h.Size-int64(i)*h.ChunkBytes)
}

// Verify returns an error if value does not have the size and the checksum of the header.
func (h Header) Verify(value []byte) error {
	if int64(len(value)) != h.Size {
		return fmt.Errorf("value has %d bytes instead of %d", len(value), h.Size)
	}
	if sum := sha256.Sum256(value); hex.EncodeToString(sum[:]) != h.SHA256 {
		return errors.New("value does not match its sha256")
	}
	return nil
}

// DecodeEntry reads a header and the value after it from r, which must have exactly sizeBytes. It allocates memory for
// the value only if the size in the header is consistent with sizeBytes and at most maxBytes.
func DecodeEntry(r io.ReaderAt, sizeBytes int64, key Key, maxBytes int64) ([]byte, error) {
	head := make([]byte, min(max(sizeBytes, 0), MaxHeaderBytes))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read header: %w", err)
	}
	header, length, err := DecodeHeader(head, key, maxBytes)
	if err != nil {
		return nil, err
	}
	if header.Chunks != 0 {
		return nil, errors.New("header names chunks, but the value must follow it")
	}
	if sizeBytes != int64(length)+header.Size {
		return nil, fmt.Errorf("entry has %d bytes instead of %d", sizeBytes, int64(length)+header.Size)
	}
	value := make([]byte, header.Size)
	if _, err := io.ReadFull(io.NewSectionReader(r, int64(length), header.Size), value); err != nil {
		return nil, fmt.Errorf("read value: %w", err)
	}
	if err := header.Verify(value); err != nil {
		return nil, err
	}
	return value, nil
}

func isHex(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}
