// Package infer generates answers to prompts: a queue, one owner goroutine that holds the model's context, a scheduler
// that mixes prefill and decode of many requests in one batch, sampling, stop strings and log probabilities.
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
// Pure functions decide what the next batch decodes (schedule.go); the owner goroutine alone acts on it (loop.go).
// Answers do not influence each other. Each has its own random generator. With infer/llamacpp on a CPU a sequence's
// logits are the same bits whatever else is in the batch.
//
// # Grammars
//
// A grammar can constrain an answer (see infer/gbnf). The sampler tests the drawn token first, and the vocabulary only
// if the grammar forbids that token.
//
// # Thinking
//
// Some models think before they answer, between markers that are text or control tokens. The engine separates the two
// (Thinking, Splitter): a grammar begins after the end marker, stop strings match in the answer alone, and a budget ends
// the thinking by the end marker's tokens.
//
// # Errors
//
// Submit refuses a request that is out of range with a ParameterError or a ContextError, before it allocates anything
// for the request. A step that fails ends the answers of that step with ErrEngine. When too many steps in a row fail
// the engine ends: Done is closed and Err returns the cause.
package infer
