package infer

import (
	"fmt"
	"testing"
)

// Every job of every round runs exactly once, and a job that panics affects no other.
func TestSamplers(t *testing.T) {
	for _, count := range []int{1, 2, 5, 64} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			s := newSamplers(newFake(64, 64, 512))
			defer s.close()
			if count == 5 {
				s.patience = devicePatience
			}
			for step := range 200 {
				s.jobs = s.jobs[:0]
				for i := range count {
					logits := make([]float32, fakeVocab)
					logits[(step+i)%fakeVocab] = 9
					r := &request{logits: logits, sampler: newSampler(Request{Logprobs: -1})}
					if i == 3 {
						r.sampler = nil
					}
					s.jobs = append(s.jobs, r)
				}
				s.run()
				for i, r := range s.jobs {
					if i == 3 {
						if r.failed == nil {
							t.Fatal("a panic was not reported")
						}
					} else if r.failed != nil || int(r.sampled.Token) != (step+i)%fakeVocab {
						t.Fatalf("step %d, job %d: token %d, %v", step, i, r.sampled.Token, r.failed)
					}
				}
			}
		})
	}
}

// deviceDecoder reports that it computes on a device.
type deviceDecoder struct{ *fakeDecoder }

func (deviceDecoder) OnDevice() bool { return true }

func TestDecoderOnDevice(t *testing.T) {
	for _, dec := range []Decoder{newFake(2, 64, 512), deviceDecoder{newFake(2, 64, 512)}} {
		e := New(dec, Options{}, nil)
		s := newSamplers(dec)
		s.close()
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if device := computesOnDevice(dec); device != (e.opts.SaveAtLeast == deviceSaveAtLeast) || device != (s.patience > 0) {
			t.Errorf("on a device: %v, but it saves from %d tokens and waits %v", device, e.opts.SaveAtLeast, s.patience)
		}
	}
}
