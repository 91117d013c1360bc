// Package infer turns prompts into answers: a queue, one owner goroutine that holds the model's context, a scheduler that
// mixes prefill and decode of many requests in one batch, sampling, stop strings and log probabilities.
//
// It is not an HTTP server and knows no OpenAI names (see server), and it does not run the model itself: that is a
// Decoder's work (see infer/llamacpp).
//
// # Data flow
//
// Submit puts a request in a bounded queue. The owner goroutine admits it to a free sequence, decodes its prompt in
// chunks beside the other requests' tokens, samples, and hands text to the request's Generation, which buffers it: the
// loop never waits for a client.
//
// # Concurrency
//
// What is to be decoded next is decided by pure functions (schedule.go); the owner goroutine alone acts on it (loop.go).
// Answers do not influence each other: each has its own random generator, and with infer/llamacpp on a CPU the logits of
// a sequence are the same bits whoever shares the batch.
//
// # Grammars
//
// An answer can be held to a grammar (see infer/gbnf): the token that was drawn is tested first, the vocabulary only when
// that is forbidden.
//
// # Errors
//
// A request that is out of range is refused by Submit with a ParameterError or a ContextError, before anything is
// allocated for it. A step that fails ends the answers of that step with ErrEngine; when steps keep failing the engine
// ends, and Done and Err tell.
package infer
