package pages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/store"
)

// TestStoredValuesAreDocumented checks that the page on Redis has a row for each kind of stored value.
func TestStoredValuesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operate", "redis.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range store.Kinds() {
		if !strings.Contains(string(page), "\n| `"+string(kind)+"` |") {
			t.Errorf("docs/operate/redis.md has no row for values of kind %q", kind)
		}
	}
}
