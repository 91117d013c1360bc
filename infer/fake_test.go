package infer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	fakeEOS   = Token(256)
	fakeVocab = 260
)

// fakeDecoder is a model whose next token depends on its whole sequence, so that a wrong cache changes the text. It checks
// positions and sizes as strictly as llamacpp.
type fakeDecoder struct {
	context, batch int
	caches         [][]Token
	logits         map[int][]float32

	gate   chan struct{}            // if set, Decode first receives from it
	began  chan struct{}            // if set, Decode first sends to it
	fail   func(step int) error     // if set, Decode returns its error
	script func(tokens []Token) int // if set, returns the next token of a sequence; negative: by hash
	ends   int                      // if set, an end is as likely as a byte behind so many tokens
	closed atomic.Bool
	broken atomic.Bool // states can neither be saved nor restored

	saves, restores atomic.Int32
	mu              sync.Mutex
	steps           int
	batches         [][]Entry
}

func newFake(sequences, context, batch int) *fakeDecoder {
	return &fakeDecoder{context: context, batch: batch, caches: make([][]Token, sequences), logits: map[int][]float32{}}
}

func (f *fakeDecoder) Tokenize(text string, _, _ bool) ([]Token, error) {
	tokens := make([]Token, len(text))
	for i := range len(text) {
		tokens[i] = Token(text[i])
	}
	return tokens, nil
}

func (f *fakeDecoder) Piece(t Token, special bool) []byte {
	switch {
	case t >= 0 && t < 256:
		return []byte{byte(t)}
	case t == fakeEOS && special:
		return []byte("<eos>")
	}
	return nil
}

func (f *fakeDecoder) EndOfGeneration(t Token) bool { return t == fakeEOS }
func (f *fakeDecoder) VocabSize() int               { return fakeVocab }
func (f *fakeDecoder) ContextSize() int             { return f.context }
func (f *fakeDecoder) Sequences() int               { return len(f.caches) }
func (f *fakeDecoder) BatchSize() int               { return f.batch }
func (f *fakeDecoder) HiddenSize() int              { return 2 }

// Hidden returns the entry's token and 1, so that a pooled vector has the mean token.
func (f *fakeDecoder) Hidden(index int) []float32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	entry := f.batches[len(f.batches)-1][index]
	if !entry.Hidden {
		return nil
	}
	return []float32{float32(entry.Token), 1}
}

func (f *fakeDecoder) Decode(entries []Entry) error {
	if f.began != nil {
		f.began <- struct{}{}
	}
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	f.steps++
	step := f.steps
	f.batches = append(f.batches, append([]Entry(nil), entries...))
	f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(step); err != nil {
			return err
		}
	}
	if len(entries) == 0 || len(entries) > f.batch {
		return fmt.Errorf("%d entries, batch is %d", len(entries), f.batch)
	}
	clear(f.logits)
	for i, e := range entries {
		if e.Position != len(f.caches[e.Sequence]) || e.Position >= f.context {
			return fmt.Errorf("entry %d: position %d of sequence %d with %d tokens", i, e.Position, e.Sequence, len(f.caches[e.Sequence]))
		}
		f.caches[e.Sequence] = append(f.caches[e.Sequence], e.Token)
		if e.Logits {
			f.logits[i] = f.distribution(f.caches[e.Sequence])
		}
	}
	return nil
}

func (f *fakeDecoder) distribution(tokens []Token) []float32 {
	h := uint64(14695981039346656037)
	for _, t := range tokens {
		h = (h ^ uint64(t)) * 1099511628211
	}
	logits := make([]float32, fakeVocab)
	for i := range logits {
		x := (h + uint64(i)*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
		logits[i] = float32(x>>40)/(1<<24)*8 - 4
	}
	logits[fakeEOS] = -20
	if f.script != nil {
		if t := f.script(tokens); t >= 0 {
			logits[t] = 20
		}
	}
	if f.ends > 0 && len(tokens) >= f.ends {
		clear(logits)
		logits['y'], logits[fakeEOS] = 10, 8.5
	}
	return logits
}

func (f *fakeDecoder) Logits(index int) []float32 { return f.logits[index] }

func (f *fakeDecoder) SequenceRemove(seq, from, to int) error {
	if to >= 0 && to < len(f.caches[seq]) {
		return errors.New("only the end can be removed")
	}
	if from < len(f.caches[seq]) {
		f.caches[seq] = f.caches[seq][:from]
	}
	return nil
}

func (f *fakeDecoder) SequenceCopy(src, dst int) error {
	f.caches[dst] = append([]Token(nil), f.caches[src]...)
	return nil
}

func (f *fakeDecoder) SaveSequence(seq int) ([]byte, error) {
	f.saves.Add(1)
	if f.broken.Load() {
		return nil, errors.New("cannot save")
	}
	state := make([]byte, 0, 4*len(f.caches[seq]))
	for _, t := range f.caches[seq] {
		state = binary.LittleEndian.AppendUint32(state, uint32(t))
	}
	return state, nil
}

func (f *fakeDecoder) RestoreSequence(seq int, state []byte, tokens int) error {
	f.caches[seq] = f.caches[seq][:0]
	if f.broken.Load() || len(state) != 4*tokens {
		return errors.New("cannot restore")
	}
	f.restores.Add(1)
	for ; len(state) > 0; state = state[4:] {
		f.caches[seq] = append(f.caches[seq], Token(binary.LittleEndian.Uint32(state)))
	}
	return nil
}

func (f *fakeDecoder) Close() error {
	if f.closed.Swap(true) {
		return errors.New("closed twice")
	}
	return nil
}

func (f *fakeDecoder) seen() [][]Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]Entry(nil), f.batches...)
}

// say makes a decoder answer every prompt with text and then the end.
func say(prompt int, text string) func([]Token) int {
	return func(tokens []Token) int {
		if at := len(tokens) - prompt; at < len(text) {
			return int(text[at])
		}
		return int(fakeEOS)
	}
}

func prompt(text string) []Token {
	var tokens []Token
	for i := range len(text) {
		tokens = append(tokens, Token(text[i]))
	}
	return tokens
}

type answer struct {
	text   string
	chunks []Chunk
	tokens []TokenInfo
	finish FinishReason
	stop   string
	usage  Usage
	err    error
}

// readAll reads an answer to its end.
func readAll(g Generation) answer {
	var a answer
	var text strings.Builder
	for {
		c, err := g.Next(context.Background())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				a.err = err
			}
			a.text = text.String()
			return a
		}
		text.WriteString(c.Text)
		a.chunks = append(a.chunks, c)
		a.tokens = append(a.tokens, c.Tokens...)
		a.finish, a.stop, a.usage = c.Finish, c.Stop, c.Usage
	}
}

func closeEngine(t *testing.T, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func ask(t *testing.T, e *Engine, req Request) answer {
	t.Helper()
	g, err := e.Submit(context.Background(), req)
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	return readAll(g)
}
