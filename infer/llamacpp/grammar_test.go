package llamacpp

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"github.com/ollama/ollama/llama"

	"prunellm/infer"
	"prunellm/infer/gbnf"
	"prunellm/internal/tinymodel"
)

// Our matcher allows the same tokens as llama.cpp's, for random texts of grammars that both accept.
func TestGrammarAgreesWithLlamaCpp(t *testing.T) {
	m := open(t, tiny(t, tinymodel.Options{}), Options{ContextSize: 256})
	var ids []uint32
	var pieces []string
	for token := range infer.Token(m.VocabSize()) {
		// llama.cpp accepts bytes that are not UTF-8, and treats NUL as an end.
		if piece := m.Piece(token, false); len(piece) > 0 && piece[0] != 0 && utf8.Valid(piece) && !m.EndOfGeneration(token) {
			ids = append(ids, uint32(token))
			pieces = append(pieces, string(piece))
		}
	}
	extra := []string{"é", "\xc3", "\xa9", "日", "\xe6\x97", "\xa5", "🎉", "{\"", "\":", "\",", "true", "12", "ab", "\n"}
	for i, piece := range extra {
		ids = append(ids, uint32(m.VocabSize()+i))
		pieces = append(pieces, piece)
	}
	vocabulary := gbnf.NewVocabulary(len(pieces), func(i int) []byte { return []byte(pieces[i]) })
	schema := llama.SchemaToGrammar([]byte(`{"type":"object","properties":{"a":{"type":"integer","minimum":-3},"b":{"type":"array","items":{"type":"string"}}},"required":["a"]}`))
	if schema == nil {
		t.Fatal("llama.cpp refused a schema")
	}
	random := rand.New(rand.NewPCG(3, 4))
	for name, text := range map[string]string{
		"words":     `root ::= [a-z]+ (" " [a-z]+)* [.!?]?`,
		"json":      "root ::= object\nvalue ::= object | string | number | \"true\" | \"null\"\nobject ::= \"{\" (pair (\",\" pair)*)? \"}\"\npair ::= string \":\" value\nstring ::= \"\\\"\" [^\"\\\\\\x00-\\x1f]* \"\\\"\"\nnumber ::= \"-\"? [0-9]{1,4} (\".\" [0-9]+)?",
		"unicode":   `root ::= ([à-ÿ日-本] | [^a-zA-Z\x00-\x7f] "a"? | . "b"){1,20}`,
		"recursion": "root ::= \"a\" root \"b\" | \"c\" root? | [0-9]",
		"schema":    string(schema),
	} {
		t.Run(name, func(t *testing.T) {
			ours, err := gbnf.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			for range 15 {
				theirs := llama.NewGrammar(text, ids, pieces, nil)
				if theirs == nil {
					t.Fatal("llama.cpp refused a grammar")
				}
				matcher := ours.Matcher()
				for range 25 {
					data := make([]llama.TokenData, len(ids))
					for i, id := range ids {
						data[i] = llama.TokenData{ID: int32(id)}
					}
					theirs.Apply(data)
					allowed := make([]bool, len(ids))
					if err := matcher.Allowed(vocabulary, func(i int) { allowed[i] = true }); err != nil {
						t.Fatal(err)
					}
					var next []int
					for i := range ids {
						if want := !math.IsInf(float64(data[i].Logit), -1); want != allowed[i] {
							t.Fatalf("%q: allowed %t, llama.cpp says %t", pieces[i], allowed[i], want)
						}
						if allowed[i] {
							next = append(next, i)
						}
					}
					if len(next) == 0 {
						break
					}
					i := next[random.IntN(len(next))]
					theirs.Accept(int32(ids[i]))
					if err := matcher.Advance([]byte(pieces[i])); err != nil {
						t.Fatal(err)
					}
				}
				theirs.Free()
			}
		})
	}
}

// The real model writes the JSON of a schema although its prompt asks for something else.
func TestSchemaConstrainsTheModel(t *testing.T) {
	e := startEngine(t, 2)
	grammar, err := e.SchemaGrammar([]byte(`{"type":"object","properties":{"city":{"type":"string","maxLength":30},"population":{"type":"integer","minimum":0},"capital":{"type":"boolean"}},"required":["city","population","capital"]}`), true)
	if err != nil {
		t.Fatal(err)
	}
	for seed, temperature := range []float64{0, 1} {
		g, err := e.Submit(context.Background(), infer.Request{
			Prompt: chat(t, e, "Tell me about Paris."), MaxTokens: 120, Logprobs: -1, Grammar: grammar,
			Sampling: infer.Sampling{Temperature: temperature, Seed: uint64(seed)},
		})
		if err != nil {
			t.Fatal(err)
		}
		var value struct {
			City       *string
			Population *int64
			Capital    *bool
		}
		text, last := collect(t, g)
		if err := json.Unmarshal([]byte(text), &value); err != nil || last.Finish != infer.FinishStop || value.City == nil || value.Population == nil || value.Capital == nil {
			t.Errorf("temperature %g: %q, %q, %v", temperature, text, last.Finish, err)
		}
	}
}
