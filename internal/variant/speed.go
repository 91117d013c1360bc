package variant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"prunellm/internal/store"
)

// Speed holds a variant's TTFT, inter-token latency (ITL) and throughput for one stream on one kind of machine. The
// store keeps it as JSON.
type Speed struct {
	TTFTMillis            float64 `json:"ttft_ms"`                  // median time to first token, milliseconds
	ITLMillis             float64 `json:"itl_ms"`                   // median inter-token latency, milliseconds
	OutputTokensPerSecond float64 `json:"output_tokens_per_second"` // 1000 / ITLMillis
	PromptTokens          int     `json:"prompt_tokens"`            // tokens of each measured prompt
	TTFTSpread            float64 `json:"ttft_spread"`              // (longest - shortest) / median; in bench, twice the standard deviation
	ITLSpread             float64 `json:"itl_spread"`               // the same for ITL
	MeasuredAt            int64   `json:"measured_at"`              // seconds since 1970; equal for variants that were measured in turns
}

// NewSpeed returns the speed with the given medians. measuredAt is the date of the measurement in seconds since 1970.
// It is for people to read; a replica only checks whether it equals that of other speeds of the same machine.
func NewSpeed(ttft, itl time.Duration, promptTokens int, measuredAt int64) Speed {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	s := Speed{TTFTMillis: ms(ttft), ITLMillis: ms(itl), PromptTokens: promptTokens, MeasuredAt: measuredAt}
	if itl > 0 {
		s.OutputTokensPerSecond = float64(time.Second) / float64(itl)
	}
	return s
}

// TTFT returns TTFTMillis as a duration.
func (s Speed) TTFT() time.Duration { return time.Duration(s.TTFTMillis * float64(time.Millisecond)) }

// ITL returns ITLMillis as a duration.
func (s Speed) ITL() time.Duration { return time.Duration(s.ITLMillis * float64(time.Millisecond)) }

// maxMillis bounds the latencies of a speed to one hour.
const maxMillis = 3600e3

func (s Speed) check() error {
	valid := func(v float64) bool { return v > 0 && v < maxMillis }
	if !(s.TTFTSpread >= 0 && s.TTFTSpread < maxMillis && s.ITLSpread >= 0 && s.ITLSpread < maxMillis) || s.MeasuredAt < 1 {
		return fmt.Errorf("speed: %+v is out of range", s)
	}
	if !valid(s.TTFTMillis) || !valid(s.ITLMillis) || !(s.OutputTokensPerSecond > 0 && s.OutputTokensPerSecond < 1e9) || s.PromptTokens < 1 {
		return fmt.Errorf("speed: %+v is out of range", s)
	}
	return nil
}

// DecodeSpeed decodes a stored speed. It returns an error for values that no measurement can give.
func DecodeSpeed(value []byte) (speed Speed, err error) {
	if len(value) > maxCardBytes {
		return Speed{}, fmt.Errorf("speed: %d bytes; the limit is %d", len(value), maxCardBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&speed); err != nil {
		return Speed{}, fmt.Errorf("speed: %w", err)
	}
	return speed, speed.check()
}

// speedVersion must change when speeds are measured in another way.
const speedVersion = "speed3"

func (b *Builder) speedKey(ctx context.Context, built Built, machine string) (store.Key, error) {
	model, err := b.Model.Digest(ctx)
	if err != nil {
		return store.Key{}, err
	}
	host := digest(machine)[:digestLength]
	return store.Key{Model: model, Kind: store.KindCard, Recipe: host, Detail: speedVersion + "-" + built.Digest}, nil
}

// Speed returns the stored speed of a variant. machine describes everything that decides the latency: processor,
// threads, GPU and batch. The error wraps store.ErrNotFound if the stored speed is missing or damaged.
func (b *Builder) Speed(ctx context.Context, built Built, machine string) (Speed, error) {
	key, err := b.speedKey(ctx, built, machine)
	if err != nil {
		return Speed{}, err
	}
	value, err := b.Store.Get(ctx, key)
	if err != nil {
		return Speed{}, err
	}
	speed, err := DecodeSpeed(value)
	if err != nil {
		b.Log.Warn("stored speed is not usable", "key", key.String(), "error", err)
		if b.Corrupt != nil {
			b.Corrupt(store.KindCard)
		}
		return Speed{}, errors.Join(store.ErrNotFound, err)
	}
	return speed, nil
}

// KeepSpeed stores a variant's speed on a machine. It returns an error for values that no measurement can give.
func (b *Builder) KeepSpeed(ctx context.Context, built Built, machine string, speed Speed) error {
	if err := speed.check(); err != nil {
		return err
	}
	key, err := b.speedKey(ctx, built, machine)
	if err != nil {
		return err
	}
	value, err := json.Marshal(speed)
	if err != nil {
		return err
	}
	return b.Store.Put(ctx, key, value)
}
