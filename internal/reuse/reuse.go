// Package reuse keeps a large result in a file, so that the next run need not compute it. Such a file only saves time: a damaged
// or truncated file, or one of another result, is never used.
//
// The package does not interpret results. Its callers decide which results are worth their disk space.
//
// # Concurrency
//
// Several processes may save and load the same file: each load returns one complete result.
package reuse

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
)

// File is the location of one result. A newer result replaces it.
//
// The file consists of the line magic, the 32 bytes of the identity's digest, the result, and the CRC-32C of everything before
// it. Numbers have the machine's byte order, which is part of the identity.
type File struct {
	Path string
	// Folder is for the temporary file, on the same file system. Its owner removes the files of processes that died.
	Folder string
	// Identity covers everything that determines the result.
	Identity string
}

const (
	magic    = "prunellm kept result 1\n"
	maxBytes = 64 << 30 // largest file that Load reads
)

// spareFactor is the multiple of a result's size that must be free before Save stores it. Models and variants need the disk more.
const spareFactor = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrOther is returned for a file with another identity.
var ErrOther = errors.New("the file has another result")

// head returns the first bytes of the file.
func (f File) head() []byte {
	hash := sha256.New()
	hash.Write(binary.NativeEndian.AppendUint32(nil, 1)) // a hash never fails
	hash.Write([]byte(f.Identity))
	return hash.Sum([]byte(magic))
}

// checkRoom returns an error if the result would take a large part of the free space.
func (f File) checkRoom(size int64) error {
	if free, known := regularfile.FreeSpace(f.Folder); known && free/spareFactor < size {
		return fmt.Errorf("the result has %d MiB and %d MiB are free; %d times its size must be free", size>>20+1, free>>20, spareFactor)
	}
	return nil
}

// Save stores a result of size bytes, completely or not at all. It does not sync: the checksum detects a file that a
// crash truncated.
func (f File) Save(size int64, write func(w io.Writer) error) (err error) {
	if err := f.checkRoom(size); err != nil {
		return err
	}
	file, err := os.CreateTemp(f.Folder, filepath.Base(f.Path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err == nil {
			err = os.Rename(file.Name(), f.Path)
		}
		if err != nil {
			_ = os.Remove(file.Name()) // or Folder's owner does
		}
	}()
	sum, head := crc32.New(castagnoli), f.head()
	out := bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)
	_, _ = out.Write(head) // an error stays until Flush
	if err := write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	end, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if want := int64(len(head)) + size; end != want {
		return fmt.Errorf("%d bytes were written instead of %d", end, want)
	}
	_, err = file.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

// Load opens a result of size bytes after it has checked the whole file. The error wraps fs.ErrNotExist if there is no file. It is
// ErrOther if the file has another identity, and a *trust.Error if another user could have written it.
func (f File) Load(size int64) (*Content, error) {
	if _, err := trust.Resolve(f.Path); err != nil {
		return nil, err
	}
	file, found, err := regularfile.Open(f.Path, maxBytes)
	if err != nil {
		return nil, err
	}
	c := &Content{file: file, size: size}
	if err := c.check(f.head(), found); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Content is a result in an open file. Close frees it. Several goroutines may read it.
type Content struct {
	file        *os.File
	begin, size int64
}

// check verifies a file of found bytes.
func (c *Content) check(head []byte, found int64) error {
	start := make([]byte, len(head))
	if _, err := io.ReadFull(c.file, start); err != nil || !bytes.Equal(start, head) {
		return ErrOther
	}
	c.begin = int64(len(head))
	if want := c.begin + c.size + crc32.Size; found != want {
		return fmt.Errorf("the file has %d bytes instead of %d", found, want)
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write(head) // a hash never fails
	if _, err := io.CopyBuffer(sum, io.LimitReader(c.file, c.size), make([]byte, 1<<20)); err != nil {
		return err
	}
	var stored [crc32.Size]byte
	if _, err := io.ReadFull(c.file, stored[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(stored[:]) != sum.Sum32() {
		return errors.New("the file's checksum is wrong")
	}
	return nil
}

// ReadAt reads len(p) bytes of the result.
func (c *Content) ReadAt(p []byte, offset int64) (int, error) {
	n, err := io.NewSectionReader(c.file, c.begin, c.size).ReadAt(p, offset)
	if err != nil {
		err = fmt.Errorf("read %s: %w", c.file.Name(), err)
	}
	return n, err
}

// Close closes the file. It is idempotent, and nil is allowed.
func (c *Content) Close() {
	if c != nil {
		_ = c.file.Close() // it was read only
	}
}
