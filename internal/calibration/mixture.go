package calibration

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

// mixturePrefix is how the identity of a mixture begins.
const mixturePrefix = "mixture-"

// The limits of a mixture.
const (
	maxParts  = 16
	maxWeight = 1000
)

// part is one source of a mixture.
type part struct {
	name   string // in the form that Find accepts
	ref    Reference
	weight float64
}

// isMixture reports whether a value is a list of sources and not a single source. A file may have a name that looks
// like a list.
func isMixture(value string) bool {
	if !strings.ContainsAny(value, ",=") {
		return false
	}
	_, err := os.Stat(value)
	return errors.Is(err, fs.ErrNotExist)
}

// findMixture returns the reference for a list of sources.
func findMixture(value string) (Reference, error) {
	parts, err := parseMixture(value)
	if err != nil {
		return Reference{}, err
	}
	return referenceOf(parts), nil
}

// referenceOf returns the reference for the parts of a mixture. It names files by their absolute paths.
func referenceOf(parts []part) Reference {
	hash, canonical := sha256.New(), make([]string, len(parts))
	for i, p := range parts {
		weight := strconv.FormatFloat(p.weight, 'g', -1, 64)
		fmt.Fprintf(hash, "%s=%s,", p.ref.Identity, weight)
		name := p.name
		if p.ref.File != "" {
			name = p.ref.File
		}
		canonical[i] = name + "=" + weight
	}
	return Reference{Identity: mixturePrefix + hex.EncodeToString(hash.Sum(nil)), File: strings.Join(canonical, ",")}
}

// parseMixture parses a list and finds its sources.
func parseMixture(value string) ([]part, error) {
	list := strings.Split(value, ",")
	if len(list) > maxParts {
		return nil, fmt.Errorf("%d sources; the limit is %d", len(list), maxParts)
	}
	parts := make([]part, len(list))
	for i, entry := range list {
		p := part{name: entry, weight: 1}
		if at := strings.LastIndexByte(entry, '='); at >= 0 {
			var err error
			p.name = entry[:at]
			if p.weight, err = strconv.ParseFloat(entry[at+1:], 64); err != nil || !(p.weight > 0 && p.weight <= maxWeight) {
				return nil, fmt.Errorf("weight %q of source %q is not a valid weight; it must be above 0 and at most %d", entry[at+1:], p.name, maxWeight)
			}
		}
		if p.name == "" || isMixture(p.name) {
			return nil, fmt.Errorf("%q is not a valid source; separate names and files by commas, each with =WEIGHT if not 1", entry)
		}
		var err error
		if p.ref, err = Find(p.name); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(parts[:i], func(other part) bool { return other.ref.Identity == p.ref.Identity }) {
			return nil, fmt.Errorf("source %q appears twice", p.name)
		}
		parts[i] = p
	}
	return parts, nil
}

// mixtureSource takes sequences from several sources according to their weights.
type mixtureSource struct {
	sources []Source
	weights []float64
	names   string
}

// openMixture opens the sources of a mixture. It returns an error that wraps ErrTextChanged if a file has changed.
func openMixture(r Reference, dense Dense) (Source, error) {
	parts, err := parseMixture(r.File)
	if err != nil {
		return nil, err
	}
	if referenceOf(parts).Identity != r.Identity {
		return nil, fmt.Errorf("calibration text %q: %w", r.File, ErrTextChanged)
	}
	m := mixtureSource{names: strconv.Quote(r.File)}
	for _, p := range parts {
		source, err := p.ref.Open(dense)
		if err != nil {
			return nil, err
		}
		m.sources, m.weights = append(m.sources, source), append(m.weights, p.weight)
	}
	return m, nil
}

// Sequences implements Source. Each source provides its share of the sequences, or fewer if it has too little text.
func (m mixtureSource) Sequences(ctx context.Context, want Want, progress func(done, total int)) ([][]int32, error) {
	length := max(want.Length, 2)
	counts := shares((want.Tokens+length-1)/length, m.weights)
	drawn, before, tokens := make([][][]int32, len(m.sources)), 0, 0
	for i, source := range m.sources {
		if counts[i] == 0 {
			continue
		}
		own := want
		own.Tokens, own.AtLeast = counts[i]*length, 0
		var report func(done, total int)
		if progress != nil {
			done := before
			report = func(n, _ int) { progress(min(done+n, want.Tokens), want.Tokens) }
		}
		var err error
		if drawn[i], err = source.Sequences(ctx, own, report); err != nil {
			return nil, err
		}
		for _, sequence := range drawn[i] {
			tokens += len(sequence)
		}
		before += own.Tokens
	}
	if tokens < want.AtLeast {
		return nil, tooShort(m.names, tokens, want)
	}
	return interleave(drawn, want.Seed), nil
}

// shares splits n in proportion to the weights. It rounds so that the shares sum to n.
func shares(n int, weights []float64) []int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	counts, given, until := make([]int, len(weights)), 0, 0.0
	for i, w := range weights {
		until += w
		counts[i] = int(float64(n)*until/sum+0.5) - given
		given += counts[i]
	}
	return counts
}

// interleave merges lists so that every stretch of the result has about the same share of each. The order is not
// periodic, because a held-out part with the same period would get only one of the lists. The same seed gives the same
// order.
func interleave(lists [][][]int32, seed uint64) [][]int32 {
	type placed struct {
		at       float64
		sequence []int32
	}
	random := rand.New(rand.NewPCG(seed, interleaveStream))
	var all []placed
	for _, list := range lists {
		for i, sequence := range list {
			all = append(all, placed{at: (float64(i) + random.Float64()) / float64(len(list)), sequence: sequence})
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	merged := make([][]int32, len(all))
	for i, p := range all {
		merged[i] = p.sequence
	}
	return merged
}

// interleaveStream separates the random numbers of interleave from other uses of the seed.
const interleaveStream = 0x6d697874
