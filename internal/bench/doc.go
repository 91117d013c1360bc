// Package bench loads OpenAI-compatible servers with streamed chat requests and reports their latency and throughput.
//
// A Target is a base URL. Run does not know the server behind it and measures as a client, so the figures of different
// servers are comparable. StartServer starts a server whose command the caller passes.
//
// # Data flow
//
// A Plan gives, for each load (a number of streams, or a rate of arrivals) and round, the same seeded requests for
// every target. Run iterates over loads, rounds and targets, in that order of nesting: the targets alternate, so noise
// affects all alike. Each request becomes a Sample. The samples of a target and load become a Result. A Report holds
// the results and writes itself as JSON (in the keys of `vllm bench serve`), as a table or as one HTML file.
//
// # Concurrency
//
// Run starts a goroutine for each stream (closed loop) or request (open loop) and waits for them. Targets never run
// concurrently.
//
// # Cost
//
// The client searches the bytes of an event and decodes JSON only in events with usage or an error. It shares cores with
// the server, so it must be cheap; Report.ClientCPU is its processor time.
package bench
