package openapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write openapi.json and docs/use/errors.md anew")

// TestJSONIsTheYAML keeps the two embedded documents the same; go test ./openapi -run JSON -update rewrites the JSON.
func TestJSONIsTheYAML(t *testing.T) {
	var document any
	if err := yaml.Unmarshal(YAML(), &document); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", append(want, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(bytes.TrimSpace(JSON()), want) {
		t.Error("openapi.json is not openapi.yaml; run: go test ./openapi -run JSON -update")
	}
}

func TestDocumentIsValid(t *testing.T) {
	loader := openapi3.NewLoader()
	document, err := loader.LoadFromData(YAML())
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(loader.Context); err != nil {
		t.Error(err)
	}
}
