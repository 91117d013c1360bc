// Package server answers OpenAI's HTTP API, and a few endpoints beside it, with fiber.
//
// It is not an engine and makes no variants: it knows models only through the small interfaces Models, Generator,
// Grammars, Vocabulary and Embedder, which the caller implements. It reads no environment and opens no port: it is given a listener.
//
// # Data flow
//
// A request passes the middleware (recover, request id, Host, key, content type), is decoded by package openapi, and gets
// a Variant from Models. The prompt becomes tokens; each choice is submitted to the engine and its chunks are collected
// into one response or written out as server-sent events.
//
// # Concurrency
//
// fasthttp runs each request on a goroutine of its connection. A stream is written by a goroutine of its own, which
// outlives the handler and never touches the *fiber.Ctx. A watcher goroutine per generation looks at the socket, so that
// a client that leaves is noticed also while nothing is being written. One goroutine per choice reads its generation;
// generation.close waits for them all.
//
// # Errors
//
// errors.go holds the one table from Go errors to status and OpenAI error object. An error that is not in it becomes a
// generic 500 with the request's id; its cause goes to the log. Logs never hold prompts, answers, keys or raw paths.
package server
