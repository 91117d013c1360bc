package server

import (
	"regexp"
	"strings"
	"testing"

	"prunellm/infer"
)

// gatewayMetrics are the names and types that the model server protocol of the Gateway API inference extension has for vLLM,
// its optional ones aside, and those of prefix caches and drafts.
var gatewayMetrics = map[string]string{
	"vllm:num_requests_waiting":       "gauge",
	"vllm:num_requests_running":       "gauge",
	"vllm:kv_cache_usage_perc":        "gauge",
	"vllm:gpu_cache_usage_perc":       "gauge",
	"vllm:prefix_cache_queries_total": "counter",
	"vllm:prefix_cache_hits_total":    "counter",

	"vllm:spec_decode_num_draft_tokens_total":    "counter",
	"vllm:spec_decode_num_accepted_tokens_total": "counter",
}

// scrape returns the body of /metrics.
func scrape(s *testServer) string { return string(s.do("GET", "/metrics", "").body) }

func TestVLLMMetrics(t *testing.T) {
	fake := newFake()
	fake.load = Load{Waiting: 3, Running: 2, CacheTokens: 32, CacheSize: 128}
	s := serve(t, fake, func(o *Options) { o.VLLMMetrics = true })
	s.post("/v1/completions", `{"prompt":"abcd"}`)
	body := scrape(s)
	for name, kind := range gatewayMetrics {
		if !strings.Contains(body, "# TYPE "+name+" "+kind+"\n") {
			t.Errorf("/metrics lacks the %s %s", kind, name)
		}
	}
	for _, line := range []string{
		`vllm:num_requests_waiting{model_name="tiny"} 3`, `prunellm_requests_waiting 3`,
		`vllm:num_requests_running{model_name="tiny"} 2`, `prunellm_requests_running 2`,
		`vllm:kv_cache_usage_perc{model_name="tiny"} 0.25`, `prunellm_kv_cache_usage_ratio 0.25`,
		`vllm:prefix_cache_queries_total{model_name="tiny"} 5`, `prunellm_prefix_cache_queries_total 5`,
		`vllm:prefix_cache_hits_total{model_name="tiny"} 1`, `prunellm_prefix_cache_hits_total 1`,
		`vllm:spec_decode_num_draft_tokens_total{model_name="tiny"} 3`, `prunellm_draft_tokens_total 3`,
		`vllm:spec_decode_num_accepted_tokens_total{model_name="tiny"} 2`, `prunellm_accepted_draft_tokens_total 2`,
		`vllm:request_success_total{finished_reason="stop",model_name="tiny"} 1`,
		`vllm:time_to_first_token_seconds_count{model_name="tiny"} 1`, `vllm:prompt_tokens_total{model_name="tiny"} 5`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if twice := regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(body, -1); len(twice) > 0 {
		seen := map[string]bool{}
		for _, match := range twice {
			if seen[match[1]] {
				t.Errorf("/metrics has %s twice", match[1])
			}
			seen[match[1]] = true
		}
	}
	fake.load = Load{}
	if body := scrape(s); !strings.Contains(body, "\nvllm:kv_cache_usage_perc{model_name=\"tiny\"} 0\n") {
		t.Error("the use of no KV cache is not 0")
	}
}

// Without the flag there are our names alone.
func TestNoVLLMMetrics(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	s.post("/v1/completions", `{"prompt":"abcd","n":2}`)
	if body := scrape(s); strings.Contains(body, "vllm:") || !strings.Contains(body, "\nprunellm_prefix_cache_queries_total 10\n") {
		t.Errorf("metrics\n%s", body)
	}
}

// A request that is refused looks nothing up.
func TestPrefixCacheOfRefused(t *testing.T) {
	fake := newFake()
	fake.submit = func(infer.Request) error { return infer.ErrQueueFull }
	s := serve(t, fake)
	s.post("/v1/completions", `{"prompt":"abcd"}`)
	if got := s.gauge("prunellm_prefix_cache_queries_total"); got != 0 {
		t.Errorf("%g tokens looked up", got)
	}
}
