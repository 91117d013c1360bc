package prune

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"prunellm/models"
)

// Plan holds the neurons that a pruned model keeps.
type Plan struct {
	Kept         [][]int // by layer, indices into the dense model's neurons, ascending; at least one per layer
	Dense        []int   // neurons of each layer of the dense model
	RatioAsked   float64 // requested share of all parameters to remove, in [0,1)
	RatioReached float64 // share of all parameters removed
}

// Widths returns the number of neurons kept in each layer.
func (p *Plan) Widths() []int {
	widths := make([]int, len(p.Kept))
	for layer, kept := range p.Kept {
		widths[layer] = len(kept)
	}
	return widths
}

// KeptShare returns the share of MLP neurons kept.
func (p *Plan) KeptShare() float64 {
	kept, dense := 0, 0
	for layer := range p.Kept {
		kept += len(p.Kept[layer])
		dense += p.Dense[layer]
	}
	return float64(kept) / float64(dense)
}

// Identity reports whether the plan keeps everything.
func (p *Plan) Identity() bool { return p.KeptShare() == 1 }

// Untouched returns the number of layers that keep all neurons before the first that does not.
func (p *Plan) Untouched() int {
	for layer, kept := range p.Kept {
		if len(kept) != p.Dense[layer] {
			return layer
		}
	}
	return len(p.Kept)
}

// Check returns an error if the plan does not fit a model.
func (p *Plan) Check(config models.Config) error {
	if len(p.Kept) != config.Layers || len(p.Dense) != config.Layers {
		return fmt.Errorf("plan has %d layers, the model %d", len(p.Kept), config.Layers)
	}
	for layer, kept := range p.Kept {
		if p.Dense[layer] != config.FFN[layer] {
			return fmt.Errorf("plan is for %d neurons in layer %d, the model has %d", p.Dense[layer], layer, config.FFN[layer])
		}
		if len(kept) == 0 {
			return fmt.Errorf("plan keeps no neurons in layer %d", layer)
		}
		last := -1
		for _, neuron := range kept {
			if neuron <= last || neuron >= p.Dense[layer] {
				return fmt.Errorf("plan layer %d: neuron %d after %d of %d", layer, neuron, last, p.Dense[layer])
			}
			last = neuron
		}
	}
	return nil
}

// The encoding of a plan begins with planMagic, the ratios requested and reached as little-endian float64, and the number of
// layers. For each layer follow its neurons and one bit for each. The lowest index has the lowest bit, and zeros fill the last
// byte. Numbers are unsigned varints.
const planMagic = "PLN1"

// MaxPlanBytes bounds an encoded plan. The plan of the largest model within the limits of package models would be
// larger; those of real models are thousands of times smaller.
const MaxPlanBytes = 16 << 20

// ErrPlanFormat is wrapped when encoded bytes are not a plan.
var ErrPlanFormat = errors.New("not an encoded plan")

// Encode encodes a plan in about one bit per neuron. Equal plans give equal bytes.
func (p *Plan) Encode() []byte {
	out := []byte(planMagic)
	for _, ratio := range []float64{p.RatioAsked, p.RatioReached} {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(ratio))
	}
	out = binary.AppendUvarint(out, uint64(len(p.Kept)))
	for layer, kept := range p.Kept {
		out = binary.AppendUvarint(out, uint64(p.Dense[layer]))
		mask := make([]byte, (p.Dense[layer]+7)/8)
		for _, neuron := range kept {
			mask[neuron/8] |= 1 << (neuron % 8)
		}
		out = append(out, mask...)
	}
	return out
}

// DecodePlan decodes Encode's bytes. Other bytes give an error that wraps ErrPlanFormat.
func DecodePlan(data []byte) (*Plan, error) {
	r := planReader{rest: data}
	if len(data) > MaxPlanBytes || len(data) < len(planMagic)+16 || string(data[:len(planMagic)]) != planMagic {
		return nil, fmt.Errorf("%w: %d bytes without a valid size and header", ErrPlanFormat, len(data))
	}
	r.rest = r.rest[len(planMagic):]
	p := &Plan{RatioAsked: r.ratio(), RatioReached: r.ratio()}
	layers := r.count(models.MaxLayers, "layers")
	for range layers {
		if r.err != nil {
			break
		}
		width := r.count(models.MaxFFN, "neurons")
		p.Dense = append(p.Dense, width)
		p.Kept = append(p.Kept, r.mask(width))
	}
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d extra bytes at the end", len(r.rest))
	}
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// planReader consumes an encoded plan; it keeps the first error.
type planReader struct {
	rest []byte
	err  error
}

func (r *planReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrPlanFormat, fmt.Sprintf(format, args...))
	}
}

func (r *planReader) ratio() float64 {
	value := math.Float64frombits(binary.LittleEndian.Uint64(r.rest))
	r.rest = r.rest[8:]
	if !(value >= 0 && value < 1) || math.Signbit(value) {
		r.fail("ratio %g is not in [0,1)", value)
	}
	return value
}

func (r *planReader) count(limit uint64, what string) int {
	value, n := binary.Uvarint(r.rest)
	if n <= 0 || value == 0 || value > limit || n != uvarintLen(value) {
		r.fail("number of %s is missing or not 1 to %d", what, limit)
		return 0
	}
	r.rest = r.rest[n:]
	return int(value)
}

// mask reads one bit per neuron. It checks the length against the remaining bytes before it allocates.
func (r *planReader) mask(width int) []int {
	size := (width + 7) / 8
	if r.err != nil || len(r.rest) < size {
		r.fail("mask of %d neurons is cut short", width)
		return nil
	}
	mask := r.rest[:size]
	r.rest = r.rest[size:]
	count := 0
	for _, b := range mask {
		count += bits.OnesCount8(b)
	}
	kept := make([]int, 0, count)
	for i, b := range mask {
		for ; b != 0; b &= b - 1 {
			kept = append(kept, i*8+bits.TrailingZeros8(b))
		}
	}
	if count == 0 || kept[count-1] >= width {
		r.fail("mask keeps nothing or more than %d neurons", width)
	}
	return kept
}

// uvarintLen returns the length of the shortest encoding. The decoder refuses longer ones, so a plan has only one encoding.
func uvarintLen(value uint64) int { return max(1, (bits.Len64(value)+6)/7) }
