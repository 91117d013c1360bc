package variant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"prunellm/internal/store"
)

// Card compares a variant with the dense model on held-out calibration text: perplexity, KL divergence and top-1
// agreement. The store keeps it as JSON.
type Card struct {
	Perplexity      float64 `json:"perplexity"`
	DensePerplexity float64 `json:"dense_perplexity"` // perplexity of the dense model on the same tokens
	KLToDense       float64 `json:"kl_to_dense"`      // mean KL divergence in nats per token
	Top1Agreement   float64 `json:"top1_agreement"`   // share of positions where both rank the same token first, in [0,1]
	Tokens          int     `json:"tokens"`           // measured positions
}

// Ratio returns the variant's perplexity divided by the dense model's.
func (c Card) Ratio() float64 { return c.Perplexity / c.DensePerplexity }

// maxCardBytes bounds a stored card.
const maxCardBytes = 4 << 10

// DecodeCard decodes a stored card. It returns an error for values that no measurement can give.
func DecodeCard(value []byte) (card Card, err error) {
	if len(value) > maxCardBytes {
		return Card{}, fmt.Errorf("card: %d bytes; the limit is %d", len(value), maxCardBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&card); err != nil {
		return Card{}, fmt.Errorf("card: %w", err)
	}
	return card, card.check()
}

func (c Card) check() error {
	perplexity := func(v float64) bool { return v >= 1 && !math.IsInf(v, 0) }
	if !perplexity(c.Perplexity) || !perplexity(c.DensePerplexity) || !(c.KLToDense >= 0) || math.IsInf(c.KLToDense, 0) ||
		!(c.Top1Agreement >= 0 && c.Top1Agreement <= 1) || c.Tokens < 1 || c.Tokens > maxHeldOut {
		return fmt.Errorf("card: %+v is out of range", c)
	}
	return nil
}

// Comparison names two files to compare on the same windows of tokens.
type Comparison struct {
	Dense       string    `json:"dense"`        // path
	DenseDigest string    `json:"dense_digest"` // digest of the content of Dense
	Variant     string    `json:"variant"`      // path
	Windows     [][]int32 `json:"windows"`      // each is run with an empty context
}

// ErrNoHeldOut means that a card cannot be measured, because the store has no calibration text or the text is too short
// for a held-out part.
var ErrNoHeldOut = errors.New("no held-out calibration text")

// Card finds the card of a variant that Build made from spec, or has one replica measure it. The same file and text
// give the same card. The error wraps ErrNoHeldOut if there is no text to measure on.
func (b *Builder) Card(ctx context.Context, spec Spec, built Built, measure func(context.Context, Comparison) (Card, error)) (Card, error) {
	model, err := b.modelDigest(ctx)
	if err != nil {
		return Card{}, err
	}
	keys := keys{model: model, spec: spec}
	key := keys.card(built)
	compute := func(ctx context.Context, _ store.Lease) ([]byte, error) {
		heldOut, err := b.heldOut(ctx, keys)
		if err != nil {
			return nil, err
		}
		card, err := measure(ctx, Comparison{Dense: b.Model.Path(), DenseDigest: model, Variant: built.Path, Windows: heldOut})
		if err != nil {
			return nil, err
		}
		if err := card.check(); err != nil {
			return nil, err
		}
		if err := b.Model.Unchanged(ctx); err != nil {
			return nil, err
		}
		return json.Marshal(card)
	}
	value, err := store.Sharing{Store: b.Store, Leaser: b.Leaser, Log: b.Log}.Value(ctx, key, compute)
	if err != nil {
		return Card{}, err
	}
	card, fault := DecodeCard(value)
	if fault == nil {
		return card, nil
	}
	b.Log.Warn("stored card is not usable, measuring again", "key", key.String(), "error", fault)
	if b.Corrupt != nil {
		b.Corrupt(store.KindCard)
	}
	if value, err = compute(ctx, nil); err != nil {
		return Card{}, err
	}
	if err := b.Store.Put(ctx, key, value); err != nil {
		b.Log.Warn("card not stored", "key", key.String(), "error", err)
	}
	return DecodeCard(value)
}

// FindCard is Card without measuring. The error wraps store.ErrNotFound if the store has no card, or one that is not valid.
func (b *Builder) FindCard(ctx context.Context, spec Spec, built Built) (Card, error) {
	model, err := b.modelDigest(ctx)
	if err != nil {
		return Card{}, err
	}
	value, err := b.Store.Get(ctx, keys{model: model, spec: spec}.card(built))
	if err != nil {
		return Card{}, err
	}
	card, err := DecodeCard(value)
	if err != nil {
		return Card{}, fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return card, nil
}

// heldOut returns the held-out part of the stored calibration text, or an error that wraps ErrNoHeldOut.
func (b *Builder) heldOut(ctx context.Context, keys keys) ([][]int32, error) {
	value, err := b.Store.Get(ctx, keys.calibration())
	if base := keys.text(0); errors.Is(err, store.ErrNotFound) && base != keys.calibration() {
		value, err = b.Store.Get(ctx, base)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w in the store", ErrNoHeldOut)
	}
	if err != nil {
		return nil, err
	}
	text, err := DecodeText(value, b.Model.Config().VocabSize)
	if err != nil {
		return nil, err
	}
	if len(text.HeldOut) == 0 {
		return nil, fmt.Errorf("%w: the text is too short", ErrNoHeldOut)
	}
	return text.HeldOut, nil
}
