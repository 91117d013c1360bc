// Package bench loads OpenAI-compatible servers with streamed chat requests and reports their latency and throughput.
//
// A Target is a base URL. Run measures only as a client, so the figures of different servers are comparable. StartServer starts
// a server with a command from the caller.
//
// # Data flow
//
// A load is a number of streams or a rate of arrivals. For each load and round, a Plan has the same seeded requests for every
// target. Run iterates over loads, rounds and targets, in that order of nesting: the targets alternate, so that noise affects
// all of them equally. Each request gives a Sample, and the samples of a target and load give a Result. A Report has the
// results and writes them as JSON (with the keys of `vllm bench serve`), as a table or as one HTML file.
//
// # Concurrency
//
// Run starts a goroutine for each stream (closed loop) or request (open loop) and waits for them. Targets never run
// concurrently.
//
// # Cost
//
// The client shares cores with the server, so it must be cheap. It searches the bytes of an event, and decodes JSON only in
// events with usage or an error. Report.ClientCPU is its processor time.
package bench
