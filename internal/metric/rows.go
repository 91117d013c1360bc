package metric

import "slices"

// Names of the metrics.
const (
	InFlight         = "prunellm_requests_in_flight"
	HTTPRequests     = "prunellm_http_requests_total"
	RequestSuccess   = "prunellm_request_success_total"
	FirstToken       = "prunellm_time_to_first_token_seconds"
	InterToken       = "prunellm_inter_token_latency_seconds"
	EndToEnd         = "prunellm_e2e_request_latency_seconds"
	QueueTime        = "prunellm_request_queue_time_seconds"
	PromptTokens     = "prunellm_prompt_tokens_total"
	GenerationTokens = "prunellm_generation_tokens_total"
	RequestsWaiting  = "prunellm_requests_waiting"
	RequestsRunning  = "prunellm_requests_running"
	KVCacheUsage     = "prunellm_kv_cache_usage_ratio"
	PrefixQueries    = "prunellm_prefix_cache_queries_total"
	PrefixHits       = "prunellm_prefix_cache_hits_total"
	DraftTokens      = "prunellm_draft_tokens_total"
	AcceptedTokens   = "prunellm_accepted_draft_tokens_total"

	VariantStage  = "prunellm_variant_stage"
	Improvements  = "prunellm_improvements_total"
	VariantBuilds = "prunellm_variant_builds_total"
	ScorePasses   = "prunellm_score_passes_total"
	ScoreSeconds  = "prunellm_score_seconds"
	LeaseHeld     = "prunellm_lease_held"
	CacheHits     = "prunellm_cache_hits_total"
	CacheMisses   = "prunellm_cache_misses_total"
	CacheCorrupt  = "prunellm_cache_corrupt_total"
	CacheBytes    = "prunellm_cache_bytes"
)

// Type is a kind of metric.
type Type string

// The types.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Group is a section of docs/operate/metrics.md.
type Group string

// The groups.
const (
	Requests Group = "requests" // counted by package server
	Variants Group = "variants" // counted by the command
)

// Row describes one metric.
type Row struct {
	Name    string
	Type    Type
	Group   Group
	Labels  []string
	Buckets []float64 // of a histogram: upper bounds in seconds
	Help    string    // without a final period
	VLLM    []string  // vLLM's names of it, the current one first; see AsVLLM
}

// Rows returns all metrics in the order of the page.
func Rows() []Row {
	return []Row{
		{Name: InFlight, Type: Gauge, Group: Requests, Help: "Generation requests in progress, including waiting ones"},
		{Name: HTTPRequests, Type: Counter, Group: Requests, Labels: []string{"method", "route", "status"}, Help: "HTTP requests"},
		{Name: RequestSuccess, Type: Counter, Group: Requests, Labels: []string{"finished_reason"}, Help: "Finished answers", VLLM: []string{"vllm:request_success_total"}},
		{Name: FirstToken, Type: Histogram, Group: Requests, Help: "Time from arrival to the first token (TTFT)",
			Buckets: []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}, VLLM: []string{"vllm:time_to_first_token_seconds"}},
		{Name: InterToken, Type: Histogram, Group: Requests, Help: "Time between a token and the next one of the same answer (ITL)",
			Buckets: []float64{.001, .0025, .005, .0075, .01, .015, .02, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}, VLLM: []string{"vllm:inter_token_latency_seconds"}},
		{Name: EndToEnd, Type: Histogram, Group: Requests, Help: "Time from arrival to the last token",
			Buckets: []float64{.05, .1, .2, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480}, VLLM: []string{"vllm:e2e_request_latency_seconds"}},
		{Name: QueueTime, Type: Histogram, Group: Requests, Help: "Time from submission to a place in the batch",
			Buckets: []float64{.0001, .001, .005, .01, .05, .1, .3, .5, 1, 2, 5, 10, 20, 40, 60, 120}, VLLM: []string{"vllm:request_queue_time_seconds"}},
		{Name: PromptTokens, Type: Counter, Group: Requests, Help: "Prompt tokens", VLLM: []string{"vllm:prompt_tokens_total"}},
		{Name: GenerationTokens, Type: Counter, Group: Requests, Help: "Generated tokens, including those of cancelled answers", VLLM: []string{"vllm:generation_tokens_total"}},
		{Name: RequestsWaiting, Type: Gauge, Group: Requests, Help: "Requests that wait for a place in a batch, over all loaded variants", VLLM: []string{"vllm:num_requests_waiting"}},
		{Name: RequestsRunning, Type: Gauge, Group: Requests, Help: "Requests that have a place in a batch, over all loaded variants", VLLM: []string{"vllm:num_requests_running"}},
		{Name: KVCacheUsage, Type: Gauge, Group: Requests, Help: "Share of the KV caches of all loaded variants that running requests hold, from 0 to 1",
			VLLM: []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"}},
		{Name: PrefixQueries, Type: Counter, Group: Requests, Help: "Prompt tokens that were looked up in the prompt cache", VLLM: []string{"vllm:prefix_cache_queries_total"}},
		{Name: PrefixHits, Type: Counter, Group: Requests, Help: "Prompt tokens that the prompt cache had", VLLM: []string{"vllm:prefix_cache_hits_total"}},
		{Name: DraftTokens, Type: Counter, Group: Requests, Help: "Tokens that were predicted and verified (`--draft-max`)", VLLM: []string{"vllm:spec_decode_num_draft_tokens_total"}},
		{Name: AcceptedTokens, Type: Counter, Group: Requests, Help: "Of these, tokens that became part of an answer", VLLM: []string{"vllm:spec_decode_num_accepted_tokens_total"}},

		{Name: VariantStage, Type: Gauge, Group: Variants, Labels: []string{"stage"}, Help: "1, with the stage of the file that answers for the startup variant: dense, quick, refined or healed"},
		{Name: Improvements, Type: Counter, Group: Variants, Labels: []string{"stage", "outcome"}, Help: "Attempts at a better file of the startup variant, by its stage: better (it answers now), not_better or failed"},
		{Name: VariantBuilds, Type: Counter, Group: Variants, Help: "Variants made or found"},
		{Name: ScorePasses, Type: Counter, Group: Variants, Help: "Score passes computed here; 0 if a store had the scores"},
		{Name: ScoreSeconds, Type: Histogram, Group: Variants, Help: "Duration of score passes, including calibration text and refit",
			Buckets: []float64{1, 2.5, 5, 10, 20, 40, 60, 120, 240, 480, 960, 1920, 3840}},
		{Name: LeaseHeld, Type: Gauge, Group: Variants, Help: "1 while this replica computes for all replicas that share its Redis"},
		{Name: CacheHits, Type: Counter, Group: Variants, Labels: []string{"store", "kind"}, Help: "Values found"},
		{Name: CacheMisses, Type: Counter, Group: Variants, Labels: []string{"store", "kind"}, Help: "Values not found"},
		{Name: CacheCorrupt, Type: Counter, Group: Variants, Help: "Damaged values, deleted and computed again"},
		{Name: CacheBytes, Type: Gauge, Group: Variants, Labels: []string{"store", "kind"}, Help: "Bytes of the model's values in a shared store"},
	}
}

// row returns the row of a name, which must have the type.
func row(name string, kind Type) Row {
	rows := Rows()
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Name == name && r.Type == kind })
	if i < 0 {
		panic("metric " + name + " has no row of type " + string(kind))
	}
	return rows[i]
}
