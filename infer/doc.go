// Package infer generates answers to prompts. It has a queue, and one owner goroutine for the model's context. A scheduler mixes
// prefill and decode of many requests in one batch. It also has sampling, stop strings and log probabilities.
//
// It is not an HTTP server and has no OpenAI names (see server). It does not run the model itself; a Decoder does (see
// infer/llamacpp).
//
// # Data flow
//
// Submit puts a request in a bounded queue. The owner goroutine admits it to a free sequence and prefills its prompt in
// chunks, in the same batches as other requests' tokens. It samples tokens and passes their text to the request's
// Generation. A Generation buffers text, so the loop never waits for a client.
//
// # Concurrency
//
// Pure functions decide what the next batch decodes (schedule.go); the owner goroutine alone acts on it (loop.go).
// Answers do not influence each other. Each has its own random generator. With infer/llamacpp on a CPU a sequence's
// logits are the same bits whatever else is in the batch.
//
// # Drafts
//
// Options.DraftMax turns on prompt lookup: an answer's next tokens are predicted from earlier ones, and one step verifies several.
// A prediction never changes an answer: each position is sampled as without it, and the first other token ends the draft. How
// much a step drafts follows from how often the answer's predictions were right, and from the measured time of steps (draft.go).
//
// # Grammars
//
// A grammar can constrain an answer (see infer/gbnf). The sampler tests the drawn token first. It tests the whole
// vocabulary only if the grammar forbids that token.
//
// # Thinking
//
// Some models think before they answer, between markers that are text or control tokens. The engine separates thinking
// from answer (Thinking, Splitter). A grammar constrains only the answer, and stop strings match only in the answer. When
// the thinking reaches its budget, the engine ends it with the end marker's tokens.
//
// # Errors
//
// Submit refuses a request that is out of range with a ParameterError or a ContextError, before it allocates anything
// for the request. A step that fails ends the answers of that step with ErrEngine. When too many consecutive steps fail,
// the engine ends: Done is closed and Err returns the cause.
package infer
