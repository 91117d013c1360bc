package corpus

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The documents are valid text of about the same size, and no line occurs twice.
func TestDocuments(t *testing.T) {
	const genres, least, most = 30, 4000, 6000
	documents := Documents()
	if len(documents) < genres {
		t.Errorf("%d documents, want at least %d", len(documents), genres)
	}
	seen := map[string]int{}
	for i, document := range documents {
		if !utf8.ValidString(document) || strings.ContainsRune(document, 0) || strings.Contains(document, "\r") {
			t.Errorf("document %d is not UTF-8 text with Unix line ends", i)
		}
		if len(document) < least || len(document) > most || !strings.HasSuffix(document, "\n") {
			t.Errorf("document %d has %d bytes, want %d to %d with a line end at the end", i, len(document), least, most)
		}
		const long = 80
		for _, line := range strings.Split(document, "\n") {
			if first, found := seen[line]; found && len(line) >= long {
				t.Errorf("documents %d and %d both contain %q", first, i, line)
			}
			seen[line] = i
		}
	}
	if len(Digest()) != 64 {
		t.Errorf("digest %q, want 64 hex digits", Digest())
	}
}
