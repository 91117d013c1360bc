package openapi

import _ "embed" // the documents below

//go:embed openapi.yaml
var openapiYAML []byte

//go:embed openapi.json
var openapiJSON []byte

//go:embed anthropic.yaml
var anthropicYAML []byte

//go:embed anthropic.json
var anthropicJSON []byte

// Document is the OpenAPI document of one API that the server speaks. Together the documents describe every path, each once.
type Document struct {
	Path string // of the server, without the extension: .yaml or .json
	YAML []byte // must not be changed
	JSON []byte // the same, made from the YAML by a test (-update)
}

// Documents returns all documents, that of OpenAI's API and of prunellm's own endpoints first.
func Documents() []Document {
	return []Document{
		{"/openapi", openapiYAML, openapiJSON},
		{"/openapi/anthropic", anthropicYAML, anthropicJSON},
	}
}
