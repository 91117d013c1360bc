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

//go:embed ollama.yaml
var ollamaYAML []byte

//go:embed ollama.json
var ollamaJSON []byte

// Document is the OpenAPI document of one API. Exactly one document describes each path of the server.
type Document struct {
	Path string // of the server, without the extension: .yaml or .json
	YAML []byte // must not be changed
	JSON []byte // the same document; a test generates it from the YAML (-update)
}

// Documents returns all documents. The first one describes OpenAI's API and prunellm's own endpoints.
func Documents() []Document {
	return []Document{
		{"/openapi", openapiYAML, openapiJSON},
		{"/openapi/anthropic", anthropicYAML, anthropicJSON},
		{"/openapi/ollama", ollamaYAML, ollamaJSON},
	}
}
