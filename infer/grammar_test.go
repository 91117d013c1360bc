package infer

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
)

// A grammar constrains a random model, at any temperature and with any truncation.
func TestGrammarConstrainsSampling(t *testing.T) {
	e := New(newFake(3, 512, 64), Options{}, nil)
	defer closeEngine(t, e)
	shape := regexp.MustCompile(`^\{"n": ?-?[0-9]{1,3}, "é": (true|false)\}$`)
	const grammar = `root ::= "{\"n\":" " "? "-"? [0-9]{1,3} ", \"é\": " ("true" | "false") "}"`
	for name, sampling := range map[string]Sampling{
		"greedy":  {},
		"drawn":   {Temperature: 1.5},
		"top_p":   {Temperature: 1, TopP: 0.5},
		"top_k":   {Temperature: 1, TopK: 3},
		"min_p":   {Temperature: 1, MinP: 0.2},
		"typical": {Temperature: 1, TypicalP: 0.5},
		"bias":    {Temperature: 1, LogitBias: map[Token]float64{'7': -100, fakeEOS: -100}},
	} {
		for seed := range uint64(8) {
			sampling.Seed = seed
			got := ask(t, e, Request{Prompt: prompt("q"), MaxTokens: 100, Logprobs: 1, Sampling: sampling, Grammar: grammar, IgnoreEOS: seed%2 == 0})
			if got.err != nil || got.finish != FinishStop || !shape.MatchString(got.text) {
				t.Errorf("%s: %q, %q, %v", name, got.text, got.finish, got.err)
			}
			if name == "bias" && strings.Contains(got.text, "7") {
				t.Errorf("a token with a bias of -100 is in %q", got.text)
			}
			for _, info := range got.tokens {
				if info.Logprob > 0 {
					t.Errorf("log probability %g of %q", info.Logprob, info.Piece)
				}
			}
		}
	}
}

// If the grammar allows both the end and a continuation, the model decides.
func TestGrammarEnds(t *testing.T) {
	f := newFake(1, 64, 16)
	f.script = say(1, "ab, and more")
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	for grammar, want := range map[string]string{
		`root ::= [a-z, ]+`:            "ab, and more",
		`root ::= [a-z]+`:              "ab",
		`root ::= "ab" ("," [a-z ]+)?`: "ab, and more",
		`root ::= "abc"?`:              "abc",
		`root ::= ""`:                  "",
	} {
		got := ask(t, e, Request{Prompt: prompt("q"), MaxTokens: 30, Logprobs: -1, Grammar: grammar})
		if want == "ab" && strings.HasPrefix(got.text, "ab") {
			continue // then it continues with the likeliest letter, or ends
		}
		if got.err != nil || got.text != want || got.finish != FinishStop {
			t.Errorf("%s: %q, %q, %v, want %q", grammar, got.text, got.finish, got.err, want)
		}
	}
}

func TestSchemaGrammar(t *testing.T) {
	e := New(newFake(2, 1024, 64), Options{}, nil)
	defer closeEngine(t, e)
	grammar, err := e.SchemaGrammar([]byte(`{"type":"object","properties":{"name":{"type":"string","maxLength":10},"tags":{"type":"array","items":{"enum":["x","y"]},"maxItems":3}},"required":["name","tags"]}`), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.CheckGrammar(grammar); err != nil {
		t.Fatal(err)
	}
	all, err := e.SubmitN(context.Background(), Request{Prompt: prompt("q"), MaxTokens: 500, Logprobs: -1, Grammar: grammar, Sampling: Sampling{Temperature: 1}}, 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		got := readAll(g)
		var value struct {
			Name string
			Tags []string
		}
		if got.err != nil || got.finish != FinishStop || json.Unmarshal([]byte(got.text), &value) != nil {
			t.Errorf("%q, %q, %v", got.text, got.finish, got.err)
		}
	}
}

func TestGrammarRefuses(t *testing.T) {
	f := newFake(1, 64, 16)
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	var parameter *ParameterError
	for _, grammar := range []string{"root ::= ", "x", `root ::= "a" root`, strings.Repeat("(", 1000)} {
		if grammar == "root ::= " {
			continue // empty: nothing to constrain
		}
		if err := e.CheckGrammar(grammar); !errors.As(err, &parameter) || parameter.Field != "grammar" {
			t.Errorf("CheckGrammar(%.20q): %v, want a ParameterError of grammar", grammar, err)
		}
		_, err := e.Submit(context.Background(), Request{Prompt: prompt("q"), MaxTokens: 1, Logprobs: -1, Grammar: grammar})
		if !errors.As(err, &parameter) || parameter.Field != "grammar" {
			t.Errorf("Submit with %.20q: %v, want a ParameterError of grammar", grammar, err)
		}
	}
	if _, err := e.SchemaGrammar([]byte(`{"not":{}}`), false); err != nil {
		t.Errorf("SchemaGrammar, not strict: %v", err)
	}
	if _, err := e.SchemaGrammar([]byte(`{"not":{}}`), true); !errors.As(err, &parameter) || parameter.Field != "schema" {
		t.Errorf("SchemaGrammar: %v, want a ParameterError of schema", err)
	}
	// A budget that runs out ends this answer with the client's error, and affects no other.
	tower := "root ::= \"x\" root | r0\n"
	for i := range 60 {
		tower += strings.NewReplacer("I", string(rune('a'+i/26))+string(rune('a'+i%26)), "J", string(rune('a'+(i+1)/26))+string(rune('a'+(i+1)%26))).Replace("tI ::= | tJ tJ\n")
	}
	tower = strings.Replace(tower, "r0", "taa \"!\"", 1) + "tci ::= | \"x\"\n"
	f.script = func([]Token) int { return 'x' }
	got := ask(t, e, Request{Prompt: prompt("q"), MaxTokens: 60, Logprobs: -1, Grammar: tower})
	if got.err != nil && !errors.As(got.err, &parameter) || got.err == nil && got.finish != FinishLength {
		t.Errorf("a hopeless grammar: %q, %v", got.text, got.err)
	}
	if got := ask(t, e, Request{Prompt: prompt("q"), MaxTokens: 5, Logprobs: -1}); got.err != nil || got.text != "xxxxx" {
		t.Errorf("the next request: %q, %v", got.text, got.err)
	}
}

// A grammar that no token fits ends the answer with the client's error.
func TestGrammarWithoutTokens(t *testing.T) {
	f := newFake(1, 64, 16)
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	bias := map[Token]float64{}
	for t := range Token(256) {
		bias[t] = -1e4
	}
	// Every byte is a token of the fake, so all fit; a bias alone forbids nothing.
	if got := ask(t, e, Request{Prompt: prompt("q"), MaxTokens: 4, Logprobs: -1, Grammar: `root ::= "abcd"`, Sampling: Sampling{LogitBias: bias}}); got.err != nil || got.text != "abcd" {
		t.Errorf("%q, %v", got.text, got.err)
	}
	c := e.constrain(mustGrammar(t, `root ::= ""`), nil)
	logits := make([]float32, fakeVocab)
	if ok, err := c.restrict(logits, newScratch(fakeVocab, nil)); !ok || err != nil || logits[fakeEOS] != 0 {
		t.Errorf("a complete text: %t, %v, EOS at %g", ok, err, logits[fakeEOS])
	}
	c.ends = nil
	if ok, err := c.restrict(logits, newScratch(fakeVocab, nil)); ok || err != nil {
		t.Errorf("no token fits: %t, %v", ok, err)
	}
}
