package llamacpp

import (
	"fmt"
	"slices"
	"sync"

	"github.com/ollama/ollama/llama"

	"prunellm/infer"
)

// Model is a loaded model with one context. It implements infer.Decoder.
type Model struct {
	model   *llama.Model
	context *llama.Context
	batch   *llama.Batch
	vocab   vocabulary

	contextSize int // tokens of one sequence
	sequences   int
	batchSize   int // entries of one Decode
	batchRoom   int // tokens of one batch, including fillers
	hiddenSize  int
	gpuLayers   int
	onDevice    bool // all layers are on GPUs
	batchExact  bool // see BatchExact

	// Owned by the decoding goroutine.
	lengths []int      // tokens in the cache of each sequence
	rows    []int      // for each entry of the last Decode: the row of its output; -1: not requested
	hidden  bool       // the last Decode computed hidden states
	paired  bool       // see paired.go
	last    []int      // scratch of addPaired: the last entry of each sequence
	counts  []int      // scratch of addFilled: the entries of each sequence
	extra   []int      // fillers of the last batch in each sequence; see fill.go
	decoded chan error // result of a batch, from the computing thread; capacity 1

	life   sync.RWMutex // Close waits for Tokenize, which any goroutine may call
	closed bool
}

var _ infer.Decoder = (*Model)(nil)

// ContextSize implements infer.Decoder.
func (m *Model) ContextSize() int { return m.contextSize }

// Sequences implements infer.Decoder.
func (m *Model) Sequences() int { return m.sequences }

// BatchSize implements infer.Decoder.
func (m *Model) BatchSize() int { return m.batchSize }

// GPULayers returns how many layers are on GPUs. The head counts as one.
func (m *Model) GPULayers() int { return m.gpuLayers }

// OnDevice reports whether all layers are on GPUs, which leaves the processor's cores idle.
func (m *Model) OnDevice() bool { return m.onDevice }

// BatchExact reports whether a token's logits are the same bits whatever else is in the batch. They are on a CPU, for the
// types of weights that decisions 0300 and 0318 name.
func (m *Model) BatchExact() bool { return m.batchExact }

// HiddenSize implements infer.Decoder.
func (m *Model) HiddenSize() int { return m.hiddenSize }

// SetThreads sets the number of threads of Decode: generation for one token, batch for more.
func (m *Model) SetThreads(generation, batch int) error {
	if err := m.usable("set threads"); err != nil {
		return err
	}
	if generation < 1 || batch < 1 || generation > maxThreads || batch > maxThreads {
		return fmt.Errorf("set threads: %d and %d, must be 1 to %d", generation, batch, maxThreads)
	}
	setThreads(rawContext(m.context), generation, batch)
	return nil
}

// Decode implements infer.Decoder. Each sequence's positions must continue at the end of its cache. If Decode fails, all
// sequences have their earlier tokens.
func (m *Model) Decode(entries []infer.Entry) error {
	if err := m.checkEntries(entries); err != nil {
		return err
	}
	m.rows = m.rows[:0]
	if hidden := slices.ContainsFunc(entries, func(e infer.Entry) bool { return e.Hidden }); hidden != m.hidden {
		wantHidden(rawContext(m.context), hidden)
		m.hidden = hidden
	}
	m.batch.Clear()
	if m.paired {
		m.addPaired(entries)
	} else {
		m.addFilled(entries)
	}
	if err := m.decode(); err != nil {
		m.rows = m.rows[:0]
		m.resync()
		return fmt.Errorf("decode %d tokens: %w: %w%s", len(entries), infer.ErrEngine, err, takeError())
	}
	if m.paired {
		m.dropPairs(entries)
	} else {
		m.dropFillers()
	}
	return nil
}

// row returns the index of an entry's output; -1 when the entry requested none.
func row(index int, wanted bool) int {
	if wanted {
		return index
	}
	return -1
}

// checkEntries refuses a batch that would make llama.cpp abort or compute wrong results. It adds the batch to lengths.
func (m *Model) checkEntries(entries []infer.Entry) error {
	if err := m.usable("decode"); err != nil {
		return err
	}
	if len(entries) == 0 || len(entries) > m.batchSize {
		return fmt.Errorf("decode: %d entries, must be 1 to %d", len(entries), m.batchSize)
	}
	for i, e := range entries {
		var reason string
		switch {
		case e.Token < 0 || int(e.Token) >= len(m.vocab.ends):
			reason = fmt.Sprintf("token %d is not one of the vocabulary's %d", e.Token, len(m.vocab.ends))
		case e.Sequence < 0 || e.Sequence >= m.sequences:
			reason = fmt.Sprintf("sequence %d is not one of %d", e.Sequence, m.sequences)
		case e.Position != m.lengths[e.Sequence]:
			reason = fmt.Sprintf("position %d does not follow the %d tokens of sequence %d", e.Position, m.lengths[e.Sequence], e.Sequence)
		case e.Position >= m.contextSize:
			reason = fmt.Sprintf("position %d is beyond the context of %d", e.Position, m.contextSize)
		}
		if reason != "" {
			for _, done := range entries[:i] {
				m.lengths[done.Sequence]--
			}
			return fmt.Errorf("decode: entry %d: %s", i, reason)
		}
		m.lengths[e.Sequence]++
	}
	return nil
}

// resync removes positions beyond the requested lengths, and sets lengths to llama.cpp's.
func (m *Model) resync() {
	c := rawContext(m.context)
	for seq, length := range m.lengths {
		if memoryLength(c, seq) > length {
			memoryRemove(c, seq, length, -1)
		}
		m.lengths[seq] = memoryLength(c, seq)
	}
}

// Logits implements infer.Decoder. It returns nil for an index that the last Decode did not flag.
func (m *Model) Logits(index int) []float32 {
	if m.closed || index < 0 || index >= len(m.rows) || m.rows[index] < 0 {
		return nil
	}
	return logits(rawContext(m.context), m.rows[index], len(m.vocab.ends))
}

// Hidden implements infer.Decoder. It returns nil for an index that the last Decode did not flag.
func (m *Model) Hidden(index int) []float32 {
	if m.closed || !m.hidden || index < 0 || index >= len(m.rows) || m.rows[index] < 0 {
		return nil
	}
	return hidden(rawContext(m.context), m.rows[index], m.hiddenSize)
}

// SequenceLength returns the number of tokens in the cache of a sequence.
func (m *Model) SequenceLength(seq int) int {
	if seq < 0 || seq >= len(m.lengths) {
		return 0
	}
	return m.lengths[seq]
}

// SequenceRemove implements infer.Decoder. It can only remove the end of a sequence: the rest must start at 0.
func (m *Model) SequenceRemove(seq, from, to int) error {
	if err := m.checkSequence("remove", seq); err != nil {
		return err
	}
	length := m.lengths[seq]
	if to < 0 || to > length {
		to = length
	}
	switch {
	case from < 0:
		return fmt.Errorf("remove from sequence %d: position %d is negative", seq, from)
	case from >= to:
		return nil
	case to < length:
		return fmt.Errorf("remove [%d,%d) from sequence %d: it holds %d tokens and only its end can be removed", from, to, seq, length)
	}
	if !memoryRemove(rawContext(m.context), seq, from, -1) {
		return fmt.Errorf("remove [%d,%d) from sequence %d: %w: llama.cpp refused", from, to, seq, infer.ErrEngine)
	}
	m.lengths[seq] = from
	return nil
}

// SequenceCopy implements infer.Decoder. The next Decode makes the copy.
func (m *Model) SequenceCopy(src, dst int) error {
	if err := m.checkSequence("copy", src); err != nil {
		return err
	}
	if err := m.checkSequence("copy", dst); err != nil {
		return err
	}
	if src == dst {
		return nil
	}
	memoryCopy(rawContext(m.context), src, dst)
	m.lengths[dst] = m.lengths[src]
	return nil
}

func (m *Model) checkSequence(op string, seq int) error {
	if err := m.usable(op); err != nil {
		return err
	}
	if seq < 0 || seq >= m.sequences {
		return fmt.Errorf("%s: sequence %d is not one of %d", op, seq, m.sequences)
	}
	return nil
}

func (m *Model) usable(op string) error {
	if m.closed {
		return fmt.Errorf("%s: %w: the model is closed", op, infer.ErrEngine)
	}
	return nil
}

// Close implements infer.Decoder. It must not run at the same time as Decode. Call it on the goroutine that decodes, so that
// it ends the OpenMP workers of that thread.
func (m *Model) Close() error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.release()
	return nil
}

func (m *Model) release() {
	if m.batch != nil {
		m.batch.Free()
	}
	if m.context != nil {
		freeContext(rawContext(m.context))
	}
	if m.model != nil {
		llama.FreeModel(m.model)
	}
	m.batch, m.context, m.model = nil, nil, nil
	trimMemory()
}
