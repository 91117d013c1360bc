// Package openapi is the contract between prunellm and its HTTP clients: the OpenAPI document, the types on the wire and
// the strict decoding of requests.
//
// It is not a server (see server) and knows no engine: a decoded request says what the client asked for, checked as far
// as that is possible without knowing the model.
//
// # Data flow
//
// The bytes of a body go to DecodeChat, DecodeCompletion and their sisters. These refuse what is not one UTF-8 JSON
// object, give every field a type, a range and a default, refuse known fields that cannot be honoured, and let unknown
// fields pass. Responses are plain structs for encoding/json.
//
// # Errors
//
// Every refusal is an *Error, the object that OpenAI's clients expect under "error", with the offending field in Param.
package openapi
