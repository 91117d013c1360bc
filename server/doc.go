// Package server implements the HTTP APIs of OpenAI and Anthropic, and a few endpoints of its own, with fiber.
//
// It neither runs models nor makes variants. It uses them through the small interfaces Models, Generator, Grammars,
// Vocabulary and Embedder, which the caller implements. It reads no environment variable and opens no port: the caller
// passes a listener.
//
// # Data flow
//
// A request passes the middleware (recover, request id, Host, key, content type). Package openapi decodes it, and
// Models returns a Variant. The prompt becomes tokens. Each choice is submitted to the engine; its chunks are collected
// into one response or written as server-sent events.
//
// # Concurrency
//
// fasthttp runs each request on its connection's goroutine. A separate goroutine writes a stream; it outlives the
// handler and never touches the *fiber.Ctx. One watcher goroutine per generation polls the socket, so that a disconnect
// is noticed while nothing is being written. One goroutine per choice reads its generation. generation.close waits for
// all of them.
//
// # Errors
//
// errors.go holds the one table from Go errors to HTTP status and OpenAI error object. Any other error becomes a
// generic 500 with the request's id; its cause goes to the log. Logs never contain prompts, answers, keys or raw paths.
package server
