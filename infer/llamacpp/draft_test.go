package llamacpp

import (
	"context"
	"reflect"
	"testing"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

const code = `func total(prices []float64, discount float64) float64 {
	sum := 0.0
	for _, price := range prices {
		sum += price
	}
	return sum * (1 - discount)
}
`

// Answers of a real model with drafts have the same text, tokens, log probabilities and reasons to end as without, alone and in
// company.
func TestDraftsChangeNoAnswer(t *testing.T) {
	rename := "Repeat this function, but call the variable amount instead of sum. Answer with code alone.\n" + code
	const schema = `{"type":"object","properties":{"name":{"type":"string","maxLength":20},"tags":{"type":"array","items":{"type":"string","maxLength":12},"maxItems":6}},"required":["name","tags"],"additionalProperties":false}`
	type run struct {
		Text, Stop string
		Tokens     []infer.TokenInfo
		Finish     infer.FinishReason
		Usage      infer.Usage
	}
	results := map[int][][]run{} // by DraftMax: by request, answers
	for _, drafts := range []int{0, 16} {
		m, err := Open(context.Background(), defaultModel(t), Options{ContextSize: 1024, Sequences: 4, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		e := infer.New(m, infer.Options{DraftMax: drafts}, nil)
		grammar, err := e.SchemaGrammar([]byte(schema), true)
		if err != nil {
			t.Fatal(err)
		}
		request := func(question string, change func(r *infer.Request)) infer.Request {
			r := infer.Request{Prompt: chat(t, e, question), MaxTokens: 60, Logprobs: -1}
			change(&r)
			return r
		}
		requests := []infer.Request{
			request(rename, func(*infer.Request) {}),
			request(rename, func(r *infer.Request) { r.Sampling = infer.Sampling{Temperature: 0.8, TopP: 0.95, Seed: 7} }),
			request(rename, func(r *infer.Request) {
				r.Logprobs = 3
				r.Sampling = infer.Sampling{Temperature: 0.5, TopK: 40, Seed: 8}
			}),
			request(rename, func(r *infer.Request) { r.Stop = []string{"price {", "sum +="} }),
			request(rename, func(r *infer.Request) {
				r.Sampling = infer.Sampling{RepetitionPenalty: 1.1, RepetitionWindow: 64, FrequencyPenalty: 0.2}
			}),
			request("List the name and the tags of this: name red car, tags red, car, red car, fast red car.", func(r *infer.Request) { r.Grammar = grammar }),
			request("Write a short poem about the sea.", func(r *infer.Request) { r.Sampling = infer.Sampling{Temperature: 1, Seed: 9}; r.MaxTokens = 41 }),
		}
		accepted, steps := 0, e.Stats().Steps
		read := func(generations []infer.Generation) (out []run) {
			for _, g := range generations {
				var tokens []infer.TokenInfo
				text, last := "", infer.Chunk{}
				for last.Finish == "" {
					if last, err = g.Next(context.Background()); err != nil {
						t.Fatal(err)
					}
					text += last.Text
					tokens = append(tokens, last.Tokens...)
				}
				accepted += last.Usage.Accepted
				last.Usage.Drafted, last.Usage.Accepted, last.Usage.Cached = 0, 0, 0
				out = append(out, run{text, last.Stop, tokens, last.Finish, last.Usage})
			}
			return out
		}
		submit := func(r infer.Request, n int) []infer.Generation {
			out, err := e.SubmitN(context.Background(), r, n)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		for _, r := range requests {
			results[drafts] = append(results[drafts], read(submit(r, 1)))
		}
		var company [][]infer.Generation
		for _, r := range requests {
			company = append(company, submit(r, 2))
		}
		for _, generations := range company {
			results[drafts] = append(results[drafts], read(generations))
		}
		t.Logf("draft_max %d: %d steps, %d tokens accepted", drafts, e.Stats().Steps-steps, accepted)
		if (accepted > 0) != (drafts > 0) {
			t.Errorf("draft_max %d: %d tokens accepted", drafts, accepted)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range results[0] {
		if got := results[16][i]; !reflect.DeepEqual(got, want) {
			t.Errorf("request %d: with drafts\n%+v\nwithout\n%+v", i, got, want)
		}
	}
}

// Formats without an exact kernel of ours, and layers of experts, make logits depend on the batch.
func TestBatchExact(t *testing.T) {
	for kind, want := range map[gguf.Type]bool{gguf.F16: true, gguf.Q8_0: true, gguf.Q4_K: true, gguf.Q2_K: false, gguf.IQ4NL: false, gguf.MXFP4: false} {
		var s shape
		s.see(gguf.TensorInfo{Name: "blk.0.ffn_up.weight", Type: gguf.Q8_0, Shape: []int{256, 256}})
		s.see(gguf.TensorInfo{Name: "blk.0.ffn_down.weight", Type: kind, Shape: []int{256, 256}})
		s.see(gguf.TensorInfo{Name: "blk.0.attn_norm.weight", Type: gguf.F32, Shape: []int{256}})
		if s.inexact == want {
			t.Errorf("%s: exact %t, want %t", kind, !s.inexact, want)
		}
	}
	var s shape
	s.see(gguf.TensorInfo{Name: "blk.0.ffn_up_exps.weight", Type: gguf.Q8_0, Shape: []int{256, 256, 8}})
	if !s.inexact {
		t.Error("a layer of experts counts as exact")
	}
	if m := open(t, tiny(t, tinymodel.Options{Type: gguf.Q8_0}), Options{ContextSize: 256}); !m.BatchExact() {
		t.Error("a model in q8_0 on the CPU is not exact")
	}
}
