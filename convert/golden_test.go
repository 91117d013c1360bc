package convert_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The bytes of a slim file must not change, because caches on other machines find it by its digest.
func TestGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("on this CPU Go fuses multiply and add, so the random weights differ in the last bit")
	}
	source := open(t, tiny(t, tinymodel.Options{Type: gguf.F16, Seed: 1}))
	out, result := slim(t, source, convert.Options{
		Kept: [][]int{every(96, 3), upTo(64)}, Provenance: convert.Provenance{Ratio: 0.25, SourceName: "tiny", Criterion: "sdm"},
	})
	var got strings.Builder
	fmt.Fprintf(&got, "%s file\n", result.Digest)
	for _, info := range out.File().Tensors {
		fmt.Fprintf(&got, "%x %s %s %v\n", sha256.Sum256(tensorBytes(t, out.File(), info.Name)), info.Name, info.Type, info.Shape)
	}
	path := filepath.Join("testdata", "slim.sha256")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the slim file changed: %s", diff)
	}
}
