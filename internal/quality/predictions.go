package quality

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"sync"

	"github.com/x448/float16"

	"prunellm/infer"
	"prunellm/internal/reuse"
)

// Predictions are one model's logits on windows of tokens.
type Predictions interface {
	// VocabSize is the number of logits of a position.
	VocabSize() int
	// Window returns the logits at every position of the i-th window but the last, float32[len(window)-1][vocab], valid
	// until the next call.
	Window(i int, window []infer.Token) ([]float32, error)
}

// decoded computes predictions on demand.
type decoded struct {
	infer.Decoder
	logits []float32
}

// Window decodes the window.
func (d *decoded) Window(_ int, window []infer.Token) ([]float32, error) {
	if err := decode(d.Decoder, window); err != nil {
		return nil, err
	}
	d.logits = keep(d.logits[:0], d.Decoder, len(window)-1)
	return d.logits, nil
}

// Rounded returns a decoder's predictions with Kept's rounding, computed on demand.
func Rounded(d infer.Decoder) Predictions { return &rounded{decoded: decoded{Decoder: d}} }

type rounded struct {
	decoded
	halves []byte
}

func (r *rounded) Window(i int, window []infer.Token) ([]float32, error) {
	logits, err := r.decoded.Window(i, window)
	if err == nil {
		r.halves = halve(r.halves, logits, r.VocabSize())
		expand(logits, r.halves)
	}
	return logits, err
}

// Kept has predictions from a file: the distance of each logit from the largest of its position, in float16. A KL divergence
// from them has an error of about 1e-5 nats. Of equal logits the first remains the likeliest. The owner calls Close.
type Kept struct {
	content *reuse.Content
	vocab   int
	begins  []int64 // by window, in bytes
	halves  []byte
	logits  []float32
}

// MaxKept bounds a file of predictions, in bytes.
const MaxKept = 640 << 20

// ErrTooMany reports predictions that would exceed MaxKept.
var ErrTooMany = errors.New("predictions exceed the limit of their file")

// keptFile returns the file of the predictions on some windows, the offset of each window and the size in bytes.
func keptFile(file reuse.File, vocab int, windows [][]infer.Token) (_ reuse.File, begins []int64, size int64, err error) {
	for _, window := range windows {
		begins = append(begins, size)
		size += 2 * int64(vocab) * int64(len(window)-1)
		if len(window) < 2 || size > MaxKept {
			return file, nil, 0, ErrTooMany
		}
	}
	var identity strings.Builder
	err = json.NewEncoder(&identity).Encode([]any{"predictions", file.Identity, vocab, windows})
	file.Identity = identity.String()
	return file, begins, size, err
}

// Keep computes the predictions of a decoder on windows and stores them in a file. The file's Identity must identify the model
// and all settings that determine the logits.
func Keep(ctx context.Context, file reuse.File, d infer.Decoder, windows [][]infer.Token) error {
	file, _, size, err := keptFile(file, d.VocabSize(), windows)
	if err != nil {
		return err
	}
	predictions, halves := &decoded{Decoder: d}, []byte(nil)
	return file.Save(size, func(w io.Writer) error {
		for i, window := range windows {
			if err := ctx.Err(); err != nil {
				return err
			}
			logits, err := predictions.Window(i, window)
			if err != nil {
				return err
			}
			halves = halve(halves, logits, d.VocabSize())
			if _, err := w.Write(halves); err != nil {
				return err
			}
		}
		return nil
	})
}

// LoadKept opens the file that Keep stored. Its errors are those of reuse.File's Load.
func LoadKept(file reuse.File, vocab int, windows [][]infer.Token) (*Kept, error) {
	file, begins, size, err := keptFile(file, vocab, windows)
	if err != nil {
		return nil, err
	}
	content, err := file.Load(size)
	if err != nil {
		return nil, err
	}
	return &Kept{content: content, vocab: vocab, begins: begins}, nil
}

// VocabSize is the number of logits of a position.
func (k *Kept) VocabSize() int { return k.vocab }

// Window reads one of the stored windows.
func (k *Kept) Window(i int, window []infer.Token) ([]float32, error) {
	n := (len(window) - 1) * k.vocab
	if cap(k.halves) < 2*n {
		k.halves, k.logits = make([]byte, 2*n), make([]float32, n)
	}
	k.halves, k.logits = k.halves[:2*n], k.logits[:n]
	if _, err := k.content.ReadAt(k.halves, k.begins[i]); err != nil {
		return nil, fmt.Errorf("predictions: %w", err)
	}
	expand(k.logits, k.halves)
	return k.logits, nil
}

// Close releases the file. It is idempotent, also for nil.
func (k *Kept) Close() {
	if k != nil {
		k.content.Close()
	}
}

// halve returns the distance of each logit from the largest of its position, float16[n][vocab]. It uses dst if its capacity
// suffices.
func halve(dst []byte, logits []float32, vocab int) []byte {
	if cap(dst) < 2*len(logits) {
		dst = make([]byte, 2*len(logits))
	}
	dst = dst[:2*len(logits)]
	inParts(runtime.GOMAXPROCS(0), len(logits)/vocab, func(_, from, to int) {
		for i := from; i < to; i++ {
			row, out := logits[i*vocab:(i+1)*vocab], dst[2*i*vocab:]
			largest := float32(math.Inf(-1))
			for _, v := range row {
				if v > largest {
					largest = v
				}
			}
			for j, v := range row {
				binary.LittleEndian.PutUint16(out[2*j:], float16.Fromfloat32(v-largest).Bits())
			}
		}
	})
	return dst
}

// expand reverses halve, except for the largest logit.
func expand(logits []float32, halves []byte) {
	values := valuesOfHalves()
	inParts(runtime.GOMAXPROCS(0), len(logits), func(_, from, to int) {
		out, in := logits[from:to], halves[2*from:2*to]
		for i := range out {
			out[i] = values[binary.LittleEndian.Uint16(in[2*i:])]
		}
	})
}

// valuesOfHalves returns a table with the value of each float16. A lookup takes a third of the time of the conversion.
var valuesOfHalves = sync.OnceValue(func() *[1 << 16]float32 {
	var values [1 << 16]float32
	for bits := range values {
		values[bits] = float16.Frombits(uint16(bits)).Float32()
	}
	return &values
})

// inParts splits the range from 0 to n into parts and runs a goroutine for each.
func inParts(parts, n int, do func(part, from, to int)) {
	var wait sync.WaitGroup
	for part := range parts {
		wait.Go(func() { do(part, part*n/parts, (part+1)*n/parts) })
	}
	wait.Wait()
}
