// Package bench loads OpenAI-compatible servers with streamed chat requests and reports how long answers took.
//
// It knows neither how a server is started nor what runs behind it: a Target is a base URL. What is measured is what a
// client sees, so the figures of different servers can be compared.
//
// # Data flow
//
// A Plan gives, for each load (a number of streams, or a rate of arrivals) and round, the same seeded requests for every
// target. Run goes through loads, rounds and targets, in that order of nesting, so that the targets take turns and noise
// hits all alike. Each request becomes a Sample; the samples of a target and load become a Result; a Report holds the
// results and writes itself as JSON (in the keys of `vllm bench serve`), as a table or as one HTML file.
//
// # Concurrency
//
// Run starts a goroutine for each stream (closed loop) or request (open loop) and waits for them. Targets never run side
// by side.
//
// # Cost
//
// The client looks for what it needs in the bytes of an event and decodes JSON only in events that hold usage or an
// error, so that it takes little from the cores that it shares with the server; Report.ClientCPU says how much.
package bench
