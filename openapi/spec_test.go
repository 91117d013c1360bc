package openapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "rewrite the JSON documents and docs/use/errors.md")

// TestJSONIsTheYAML keeps the two forms of each document the same; go test ./openapi -run JSON -update rewrites the JSON.
func TestJSONIsTheYAML(t *testing.T) {
	for _, document := range Documents() {
		name := path.Base(document.Path)
		var value any
		if err := yaml.Unmarshal(document.YAML, &value); err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(name+".json", append(want, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !bytes.Equal(bytes.TrimSpace(document.JSON), want) {
			t.Errorf("%s.json is not %[1]s.yaml; run: go test ./openapi -run JSON -update", name)
		}
	}
}

// TestDocumentIsValid also checks that each path is in only one document.
func TestDocumentIsValid(t *testing.T) {
	seen := map[string]string{}
	for _, document := range Documents() {
		loader := openapi3.NewLoader()
		parsed, err := loader.LoadFromData(document.YAML)
		if err != nil {
			t.Fatal(err)
		}
		if err := parsed.Validate(loader.Context); err != nil {
			t.Error(err)
		}
		for path := range parsed.Paths.Map() {
			if other := seen[path]; other != "" {
				t.Errorf("%s describes %s, which %s describes too", document.Path, path, other)
			}
			seen[path] = document.Path
		}
	}
}
