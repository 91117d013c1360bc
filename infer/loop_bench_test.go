package infer

import (
	"context"
	"fmt"
	"testing"
)

// stillDecoder takes no time, so that the benchmark measures only the engine.
type stillDecoder struct {
	*fakeDecoder
	logits []float32
}

func (d *stillDecoder) Decode([]Entry) error               { return nil }
func (d *stillDecoder) Logits(int) []float32               { return d.logits }
func (d *stillDecoder) SequenceRemove(int, int, int) error { return nil }
func (d *stillDecoder) ContextSize() int                   { return 1 << 20 }

// BenchmarkLoop measures the engine without a model: scheduling, composing, sampling from 260 logits and delivering. An
// operation is one token.
func BenchmarkLoop(b *testing.B) {
	for _, sequences := range []int{1, 8} {
		b.Run(fmt.Sprintf("sequences=%d", sequences), func(b *testing.B) {
			d := &stillDecoder{newFake(sequences, 64, 512), make([]float32, fakeVocab)}
			d.logits['x'] = 5
			e := New(d, Options{}, nil)
			b.ReportAllocs()
			b.ResetTimer()
			all, err := e.SubmitN(context.Background(), Request{
				Prompt: prompt("q"), MaxTokens: max(b.N/sequences, 1), IgnoreEOS: true, Logprobs: -1, Sampling: Sampling{Temperature: 1},
			}, sequences)
			if err != nil {
				b.Fatal(err)
			}
			for _, g := range all {
				if _, err := drain(context.Background(), g.(*stream)); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := e.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
