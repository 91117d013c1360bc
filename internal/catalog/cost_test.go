package catalog

import (
	"context"
	"errors"
	"testing"
	"time"

	"prunellm/internal/polltest"
	"prunellm/internal/variant"
	"prunellm/openapi"
)

// cardOf returns the card of an id in the list, or nil if the list does not contain the id.
func (b *bench) cardOf(id string) *openapi.Card {
	for _, m := range b.List() {
		if m.ID == id {
			return m.Card
		}
	}
	return nil
}

// The cost of pruning is measured once the variant is served, then shown on its card. If the measurement fails, the
// card shows no cost.
func TestCostIsLearnedInTheBackground(t *testing.T) {
	gate := make(chan struct{})
	b := newBench(t, func(o *Options) {
		o.Measure.Cost = func(ctx context.Context, built variant.Built) (variant.Card, error) {
			select {
			case <-gate:
			case <-ctx.Done():
				return variant.Card{}, ctx.Err()
			}
			if built.Ratio == 0.3 {
				return variant.Card{}, errors.New("no logits today")
			}
			return variant.Card{Perplexity: 12, DensePerplexity: 10, KLToDense: 0.25, Top1Agreement: 0.75, Tokens: 9}, nil
		}
	})
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	b.acquireNow(t, at(0.3)).Release()
	if card := b.cardOf("m@0.2"); card == nil || card.Perplexity != nil || card.EvalTokens != 0 {
		t.Errorf("card before measuring = %+v, want no cost", card)
	}
	close(gate)
	polltest.Within(t, 30*time.Second, func() error {
		if b.cardOf("m@0.2").Perplexity == nil {
			return errors.New("no cost on the card")
		}
		return nil
	})
	card := b.cardOf("m")
	if *card.Perplexity != 12 || *card.PerplexityRatio != 1.2 || *card.KLToDense != 0.25 || *card.Top1Agreement != 0.75 || card.EvalTokens != 9 {
		t.Errorf("card = %+v, want the measured cost", card)
	}
	if card := b.cardOf("m@0.3"); card.Perplexity != nil {
		t.Errorf("card after a failed measurement = %+v, want no cost", card)
	}
}

// Close does not wait for a measurement to finish.
func TestCloseEndsMeasuring(t *testing.T) {
	begun := make(chan struct{}, 1)
	b := newBench(t, func(o *Options) {
		o.Measure.Cost = func(ctx context.Context, _ variant.Built) (variant.Card, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return variant.Card{}, ctx.Err()
		}
	})
	close(b.gate)
	b.Start(t.Context())
	<-begun
}
