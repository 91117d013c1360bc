package openapi

import _ "embed" // the documents below

//go:embed openapi.yaml
var yamlDocument []byte

//go:embed openapi.json
var jsonDocument []byte

// YAML is the OpenAPI document. The caller must not change it.
func YAML() []byte { return yamlDocument }

// JSON is the same document as JSON, made from the YAML by a test (-update). The caller must not change it.
func JSON() []byte { return jsonDocument }
