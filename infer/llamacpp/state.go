package llamacpp

import (
	"fmt"

	"prunellm/infer"
)

// SaveSequence returns a copy of a sequence's cache: about 23 kB per token for a model of 135 M parameters. Only
// RestoreSequence on a context of the same model in this process can read these bytes; they are not a storage format.
func (m *Model) SaveSequence(seq int) ([]byte, error) {
	if err := m.checkSequence("save", seq); err != nil {
		return nil, err
	}
	state := make([]byte, stateSize(rawContext(m.context), seq))
	if n := stateGet(rawContext(m.context), seq, state); n != len(state) {
		return nil, fmt.Errorf("save sequence %d: %w: %d of %d bytes%s", seq, infer.ErrEngine, n, len(state), takeError())
	}
	return state, nil
}

// RestoreSequence replaces a sequence by a saved one of the given number of tokens.
func (m *Model) RestoreSequence(seq int, state []byte, tokens int) error {
	if err := m.checkSequence("restore", seq); err != nil {
		return err
	}
	if len(state) == 0 || tokens < 0 || tokens > m.contextSize {
		return fmt.Errorf("restore sequence %d: %d bytes for %d tokens, the context holds %d", seq, len(state), tokens, m.contextSize)
	}
	if err := m.SequenceRemove(seq, 0, -1); err != nil {
		return err
	}
	n := stateSet(rawContext(m.context), seq, state)
	m.lengths[seq] = memoryLength(rawContext(m.context), seq)
	if n != len(state) || m.lengths[seq] != tokens {
		err := fmt.Errorf("restore sequence %d: %w: %d of %d bytes gave %d tokens instead of %d", seq, infer.ErrEngine, n, len(state), m.lengths[seq], tokens)
		if cleared := m.SequenceRemove(seq, 0, -1); cleared != nil {
			return fmt.Errorf("%w, and %w", err, cleared)
		}
		return err
	}
	return nil
}
