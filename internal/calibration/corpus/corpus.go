// Package corpus holds general text in many genres, for calibration if there is no other text. It was written for
// prunellm and has the same license.
package corpus

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"sync"
)

// files holds the documents. Each is of one genre: articles, news, prose, chats, code, data, forms and six languages.
//
//go:embed *.txt
var files embed.FS

// Documents returns the documents in a fixed order. All calls return the same slice, so callers must not change it.
var Documents = sync.OnceValue(func() []string {
	names, err := fs.Glob(files, "*.txt")
	if err != nil {
		panic(err) // impossible: the pattern is constant
	}
	documents := make([]string, len(names))
	for i, name := range names {
		content, err := files.ReadFile(name)
		if err != nil {
			panic(err) // impossible: the file is in the binary
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
