package models

import (
	"strings"
	"testing"
)

func TestPreTokenizerFault(t *testing.T) {
	for _, c := range []struct {
		tokenizer Tokenizer
		want      string
	}{
		{Tokenizer{Model: ByteLevelBPE, Pre: "smollm"}, ""},
		{Tokenizer{Model: ByteLevelBPE, Pre: "default"}, ""},
		{Tokenizer{Model: SentencePiece}, ""},
		{Tokenizer{Model: ByteLevelBPE}, "names no pre-tokenizer"},
		{Tokenizer{Model: ByteLevelBPE, Pre: "my-own"}, `"my-own" is unknown`},
	} {
		if got := c.tokenizer.PreTokenizerFault(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("fault of %+v = %q, want %q", c.tokenizer, got, c.want)
		}
	}
}
