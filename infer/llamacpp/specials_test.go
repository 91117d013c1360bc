package llamacpp

import (
	"testing"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// TestMissingSpecialTokens covers files without the ids of BOS and EOS. llama.cpp's default is token 11. In many
// vocabularies this is a comma, at which every answer ended.
func TestMissingSpecialTokens(t *testing.T) {
	const bos, eos, adds = "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token"
	for name, c := range map[string]struct {
		options tinymodel.Options
		ends    []infer.Token // in addition to those of known texts, 0 and 2
		bos     infer.Token
		adds    bool
	}{
		"given":           {tinymodel.Options{Keys: []gguf.KV{{Key: eos, Value: uint32(9)}, {Key: adds, Value: true}}}, []infer.Token{9}, tinymodel.ImStart, true},
		"no eos":          {tinymodel.Options{Without: []string{eos}}, nil, tinymodel.ImStart, false},
		"no bos":          {tinymodel.Options{Without: []string{bos}, Keys: []gguf.KV{{Key: adds, Value: true}}}, nil, -1, false},
		"neither":         {tinymodel.Options{Without: []string{bos, eos, "tokenizer.ggml.padding_token_id", "tokenizer.ggml.unknown_token_id"}}, nil, -1, false},
		"eos is token 11": {tinymodel.Options{Keys: []gguf.KV{{Key: eos, Value: uint32(11)}}}, []infer.Token{11}, tinymodel.ImStart, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t, tiny(t, c.options), Options{ContextSize: 64})
			want := map[infer.Token]bool{tinymodel.EndOfText: true, tinymodel.ImEnd: true}
			for _, token := range c.ends {
				want[token] = true
			}
			for token := range infer.Token(m.VocabSize()) {
				if got := m.EndOfGeneration(token); got != want[token] {
					t.Errorf("EndOfGeneration(%d) of %q = %v, want %v", token, m.Piece(token, true), got, want[token])
				}
			}
			if bos, adds := m.BOS(); bos != c.bos || adds != c.adds {
				t.Errorf("BOS = %d, %v, want %d, %v", bos, adds, c.bos, c.adds)
			}
			if tokens, err := m.Tokenize("a", true, true); err != nil || len(tokens) > 0 && tokens[0] == 11 {
				t.Errorf("Tokenize = %v, %v", tokens, err)
			}
		})
	}
}
