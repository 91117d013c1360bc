// Package corpus holds general text in many genres, to calibrate on where no other text is at hand. It was written for
// prunellm and has its licence.
package corpus

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"sync"
)

// files are the documents, each of one genre: articles, news, prose, chats, code, data, forms and six languages.
//
//go:embed *.txt
var files embed.FS

// Documents returns the documents in a fixed order. The same build returns the same slice: callers do not change it.
var Documents = sync.OnceValue(func() []string {
	names, err := fs.Glob(files, "*.txt")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	documents := make([]string, len(names))
	for i, name := range names {
		content, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is in the binary
		}
		documents[i] = string(content)
	}
	return documents
})

// Digest identifies the text: the SHA-256 of all documents in hex.
var Digest = sync.OnceValue(func() string {
	hash := sha256.New()
	for _, document := range Documents() {
		hash.Write([]byte(document))
		hash.Write([]byte{0})
	}
	return hex.EncodeToString(hash.Sum(nil))
})
