// Package openapi is the contract between prunellm and its HTTP clients: the OpenAPI documents, one for each API,
// the types on the wire and the strict decoding of requests.
//
// It contains no server (see server) and no engine. A decoded request is valid except where that depends on the model.
//
// # Data flow
//
// Each endpoint has a function such as DecodeChat or DecodeCompletion. It accepts one UTF-8 JSON object, gives every
// field a type, a range and a default, and refuses known fields that are not supported. It ignores unknown fields.
// Responses are plain structs for encoding/json.
//
// # Errors
//
// Every decoding error is an *Error, the object that OpenAI's clients expect under "error", with the invalid field in
// Param. The server translates it for clients of Anthropic's API.
package openapi
