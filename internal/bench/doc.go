// Package bench loads OpenAI-compatible servers with streamed chat requests and reports their latency and throughput.
//
// A Target is a base URL: Run does not know what runs behind it, and measures what a client sees, so the figures of different
// servers can be compared. StartServer starts one whose command the caller gives.
//
// # Data flow
//
// A Plan gives, for each load (a number of streams, or a rate of arrivals) and round, the same seeded requests for every
// target. Run goes through loads, rounds and targets, in that order of nesting, so that the targets take turns and
// noise affects all alike. Each request becomes a Sample; the samples of a target and load become a Result; a Report holds the
// results and writes itself as JSON (in the keys of `vllm bench serve`), as a table or as one HTML file.
//
// # Concurrency
//
// Run starts a goroutine for each stream (closed loop) or request (open loop) and waits for them. Targets never run side
// by side.
//
// # Cost
//
// The client searches the bytes of an event and decodes JSON only in events with usage or an error. It shares cores with
// the server, so it must be cheap; Report.ClientCPU is its processor time.
package bench
