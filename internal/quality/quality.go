// Package quality measures the cost of pruning: perplexity on a text, and the distance of a variant's predictions from the dense
// model's. It uses the logits of the same engine and file that serve requests, so that the cost includes quantization.
//
// It neither loads models nor makes variants: callers pass decoders. The dense model's predictions may come from a file (Kept),
// so that the dense model need not run again for each variant.
//
// # Concurrency
//
// Measure and Keep use their decoders only on the calling goroutine, and several goroutines for the arithmetic on logits.
package quality

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
	"unicode/utf8"

	"prunellm/infer"
)

// Result holds the measurements of one variant over all windows.
type Result struct {
	Perplexity    float64       // exp of the mean negative log likelihood of a token
	KLToDense     float64       // mean Kullback-Leibler divergence of the variant from dense, nats per token
	Top1Agreement float64       // share of positions at which both models have the same likeliest token
	Tokens        int           // positions measured
	Took          time.Duration // spent in the variant's decoder
}

// ParseText returns the text of a file, which must be UTF-8 and not empty.
func ParseText(data []byte) (string, error) {
	if len(data) == 0 {
		return "", errors.New("is empty")
	}
	if !utf8.Valid(data) {
		return "", errors.New("is not UTF-8")
	}
	return string(data), nil
}

// Windows splits tokens into n consecutive windows of size tokens, from the start; n = 0 means all that fit. It drops a remainder
// that does not fill a window.
func Windows(tokens []infer.Token, size, n int) ([][]infer.Token, error) {
	if size < 2 {
		return nil, fmt.Errorf("a window has %d tokens but must have at least 2", size)
	}
	there := len(tokens) / size
	if n == 0 {
		n = there
	}
	if there == 0 || n > there {
		return nil, fmt.Errorf("the text has %d tokens but needs at least %d for %d windows of %d", len(tokens), max(n, 1)*size, max(n, 1), size)
	}
	windows := make([][]infer.Token, n)
	for i := range windows {
		windows[i] = tokens[i*size : (i+1)*size]
	}
	return windows, nil
}

// Measure compares variants with the dense model on the same windows. Every position except a window's first counts: a model
// predicts each token from those before it in its window. All decoders must have the same vocabulary and accept a whole window
// in one batch. Measure calls done after each window; done may be nil.
func Measure(ctx context.Context, dense infer.Decoder, variants []infer.Decoder, windows [][]infer.Token, done func(windows int)) ([]Result, error) {
	others := slices.Clone(variants)
	for i, d := range others {
		if d == dense {
			others[i] = nil
		}
	}
	return MeasureAgainst(ctx, &decoded{Decoder: dense}, others, windows, done)
}

// MeasureAgainst is Measure with the dense model's predictions on the windows. A nil variant stands for the dense model
// itself.
func MeasureAgainst(ctx context.Context, dense Predictions, variants []infer.Decoder, windows [][]infer.Token, done func(windows int)) ([]Result, error) {
	for _, d := range variants {
		if d != nil && d.VocabSize() != dense.VocabSize() {
			return nil, fmt.Errorf("cannot compare models with vocabularies of %d and %d tokens", d.VocabSize(), dense.VocabSize())
		}
	}
	softmax := newSoftmax(dense, variants)
	sums := make([]sums, len(variants))
	for i, window := range windows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		reference, err := dense.Window(i, window)
		if err != nil {
			return nil, err
		}
		vocab := dense.VocabSize()
		at := func(i int) []float32 { return reference[i*vocab : (i+1)*vocab] }
		for v, decoder := range variants {
			if decoder == nil {
				sums[v].add(softmax, window, func(softmax *infer.Softmax, i int, next infer.Token) position {
					return alone(softmax, at(i), next)
				})
				continue
			}
			start := time.Now()
			if err := decode(decoder, window); err != nil {
				return nil, err
			}
			sums[v].took += time.Since(start)
			sums[v].add(softmax, window, func(softmax *infer.Softmax, i int, next infer.Token) position {
				return compare(softmax, at(i), decoder.Logits(i), next)
			})
		}
		if done != nil {
			done(i + 1)
		}
	}
	results := make([]Result, len(variants))
	for v := range sums {
		if results[v] = sums[v].result(); math.IsNaN(results[v].Perplexity) {
			return nil, errors.New("the model computed NaN or infinite logits")
		}
	}
	return results, nil
}

// newSoftmax returns a Softmax for each goroutine, with the vector instructions of one of the models.
func newSoftmax(dense Predictions, variants []infer.Decoder) []*infer.Softmax {
	var means interface{ VocabSize() int } = dense
	if d, ok := dense.(*decoded); ok {
		means = d.Decoder
	}
	for _, d := range variants {
		if d != nil {
			means = d
		}
	}
	all := make([]*infer.Softmax, runtime.GOMAXPROCS(0))
	for i := range all {
		all[i] = infer.NewSoftmax(means)
	}
	return all
}

// decode decodes a window into an empty sequence and requests all logits but the last token's.
func decode(d infer.Decoder, window []infer.Token) error {
	if len(window) > d.BatchSize() || len(window) > d.ContextSize() {
		return fmt.Errorf("a window has %d tokens; the decoder's limit is %d", len(window), min(d.BatchSize(), d.ContextSize()))
	}
	if err := d.SequenceRemove(0, 0, -1); err != nil {
		return err
	}
	entries := make([]infer.Entry, len(window))
	for i, token := range window {
		entries[i] = infer.Entry{Token: token, Position: i, Logits: i < len(window)-1}
	}
	return d.Decode(entries)
}

// keep copies the logits of n positions, float32[n, vocab], because the decoder's next Decode overwrites them.
func keep(dst []float32, d infer.Decoder, n int) []float32 {
	for i := range n {
		dst = append(dst, d.Logits(i)...)
	}
	return dst
}

// sums accumulates over positions, in float64 and in order of position, so that equal runs give equal results.
type sums struct {
	negativeLog, divergence float64
	agreed, tokens          int
	took                    time.Duration
}

// add accumulates one window. It calls measure for each position, on one goroutine for each softmax.
func (s *sums) add(softmax []*infer.Softmax, window []infer.Token, measure func(softmax *infer.Softmax, i int, next infer.Token) position) {
	n := len(window) - 1
	positions := make([]position, n)
	inParts(len(softmax), n, func(part, from, to int) {
		for i := from; i < to; i++ {
			positions[i] = measure(softmax[part], i, window[i+1])
		}
	})
	for _, p := range positions {
		s.negativeLog += p.negativeLog
		s.divergence += p.divergence
		if p.agreed {
			s.agreed++
		}
	}
	s.tokens += n
}

func (s *sums) result() Result {
	n := float64(s.tokens)
	return Result{
		Perplexity: math.Exp(s.negativeLog / n), KLToDense: s.divergence / n, Top1Agreement: float64(s.agreed) / n,
		Tokens: s.tokens, Took: s.took,
	}
}

type position struct {
	negativeLog, divergence float64
	agreed                  bool
}

// alone compares the dense model with itself.
func alone(softmax *infer.Softmax, logits []float32, next infer.Token) position {
	_, log, _ := logSumExp(softmax, logits)
	return position{negativeLog: log - float64(logits[next]), agreed: true}
}

// compare takes the logits of both models at one position, float32[vocab], and the token that follows. A NaN among the
// logits makes the likelihood NaN.
func compare(softmax *infer.Softmax, dense, variant []float32, next infer.Token) position {
	top, log, _ := logSumExp(softmax, variant)
	denseTop, denseLog, exps := logSumExp(softmax, dense)
	p := position{negativeLog: log - float64(variant[next]), agreed: denseTop == top}
	sum := 0.0
	for i, exp := range exps {
		if exp != 0 {
			sum += float64(exp) * ((float64(dense[i]) - denseLog) - (float64(variant[i]) - log))
		}
	}
	if math.IsNaN(sum) {
		p.negativeLog = sum
	}
	p.divergence = max(0, sum*math.Exp(float64(dense[denseTop])-denseLog))
	return p
}

// logSumExp is softmax.Of, except that the sum is NaN if a logit is NaN.
func logSumExp(softmax *infer.Softmax, logits []float32) (top infer.Token, log float64, exps []float32) {
	top, log, exps = softmax.Of(logits)
	const magnitude, infinity = 1<<31 - 1, 0xff << 23
	nan := uint32(0) // its highest bit is set if the magnitude of a logit exceeds infinity's. Comparing each logit would take twice the time.
	for _, v := range logits {
		nan |= infinity - math.Float32bits(v)&magnitude
	}
	if nan>>31 != 0 {
		log = math.NaN()
	}
	return top, log, exps
}
