package gbnf

import (
	"bytes"
	"slices"
)

// Vocabulary is a trie over the bytes of tokens.
type Vocabulary struct {
	size  int
	nodes []trieNode
	order []int32 // tokens sorted by their bytes
}

// trieNode is a prefix that tokens share. Its descendants follow it, up to end.
type trieNode struct {
	end         int32 // index of the first node after its descendants
	first, last int32 // tokens that end here: order[first:last]
	byte        byte
}

// NewVocabulary indexes size tokens by the bytes that piece returns. It leaves out tokens without bytes and those of 64 KiB or
// more, which no grammar allows.
func NewVocabulary(size int, piece func(token int) []byte) *Vocabulary {
	pieces := make([][]byte, size)
	v := &Vocabulary{size: size}
	for t := range size {
		if pieces[t] = piece(t); len(pieces[t]) > 0 && len(pieces[t]) < 1<<16 {
			v.order = append(v.order, int32(t))
		}
	}
	slices.SortFunc(v.order, func(a, b int32) int { return bytes.Compare(pieces[a], pieces[b]) })
	var path []int32 // nodes from the root to the last token's
	var last []byte
	for i, t := range v.order {
		p := pieces[t]
		common := 0
		for common < len(last) && common < len(p) && last[common] == p[common] {
			common++
		}
		for _, n := range path[common:] {
			v.nodes[n].end = int32(len(v.nodes))
		}
		path = path[:common]
		for _, b := range p[common:] {
			path = append(path, int32(len(v.nodes)))
			v.nodes = append(v.nodes, trieNode{byte: b, first: int32(i), last: int32(i)})
		}
		v.nodes[path[len(path)-1]].last = int32(i) + 1
		last = p
	}
	for _, n := range path {
		v.nodes[n].end = int32(len(v.nodes))
	}
	return v
}

// Allowed calls allow for each token with which the text may continue.
func (m *Matcher) Allowed(v *Vocabulary, allow func(token int)) error {
	type level struct {
		end int32 // of the prefix's descendants
		at  *state
	}
	path := []level{{int32(len(v.nodes)), m.now}}
	for i := int32(0); i < int32(len(v.nodes)); {
		for i >= path[len(path)-1].end {
			path = path[:len(path)-1]
		}
		n := v.nodes[i]
		to := m.step(path[len(path)-1].at, m.grammar.classes[n.byte])
		if m.budget < 0 {
			return ErrBudget
		}
		if to == dead {
			i = n.end
			continue
		}
		for _, t := range v.order[n.first:n.last] {
			allow(int(t))
		}
		path = append(path, level{n.end, to})
		i++
	}
	return nil
}
