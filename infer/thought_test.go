package infer

import (
	"context"
	"strings"
	"testing"
)

// thinkingDecoder is the fake with additional control tokens for the markers.
type thinkingDecoder struct{ *fakeDecoder }

const (
	beginMark = Token(257)
	endMark   = Token(258)
)

func (d thinkingDecoder) Tokenize(text string, bos, special bool) ([]Token, error) {
	var out []Token
	for len(text) > 0 {
		switch {
		case special && strings.HasPrefix(text, "[THINK]"):
			out, text = append(out, beginMark), text[len("[THINK]"):]
		case special && strings.HasPrefix(text, "[/THINK]"):
			out, text = append(out, endMark), text[len("[/THINK]"):]
		default:
			out, text = append(out, Token(text[0])), text[1:]
		}
	}
	return out, nil
}

func (d thinkingDecoder) Piece(t Token, special bool) []byte {
	switch {
	case t == beginMark && special:
		return []byte("[THINK]")
	case t == endMark && special:
		return []byte("[/THINK]")
	}
	return d.fakeDecoder.Piece(t, special)
}

// tokensOf returns a script with the tokens of an answer, then the end.
func tokensOf(promptTokens int, tokens []Token) func([]Token) int {
	return func(seen []Token) int {
		if at := len(seen) - promptTokens; at < len(tokens) {
			return int(tokens[at])
		}
		return int(fakeEOS)
	}
}

// thoughtOf returns the thinking of an answer.
func thoughtOf(a answer) string {
	var out strings.Builder
	for _, c := range a.chunks {
		out.WriteString(c.Thinking)
	}
	return out.String()
}

func TestThinking(t *testing.T) {
	controls := Thinking{Begin: "[THINK]", End: "[/THINK]", Budget: -1}
	budget := func(t Thinking, tokens int) Thinking { t.Budget = tokens; return t }
	opened := func(t Thinking) Thinking { t.Open = true; return t }
	closing := func(t Thinking, text string) Thinking { t.Close = text; return t }
	const grammar = `root ::= "{" [a-z]* "}"`
	for _, test := range []struct {
		name            string
		marks           Thinking
		script          string
		req             Request
		thought, answer string
		finish          FinishReason
		tokens          int // of the thinking
	}{
		{"text", thinkMarks, "<think>\nhm\n</think>\n\nyes", Request{}, "hm", "yes", FinishStop, 19},
		{"control tokens", controls, "[THINK]hm[/THINK]yes", Request{}, "hm", "yes", FinishStop, 4},
		{"no thinking", thinkMarks, "<this> is <think>", Request{}, "", "<this> is <think>", FinishStop, 0},
		{"opened by the prompt", opened(controls), "hm[/THINK]yes", Request{}, "hm", "yes", FinishStop, 3},
		{"characters of several bytes", controls, "[THINK]größer[/THINK]größer", Request{}, "größer", "größer", FinishStop, 10},
		{"never closed", opened(thinkMarks), strings.Repeat("hm ", 20), Request{MaxTokens: 8}, "hm hm hm", "", FinishLength, 8},
		{"ended by the model", thinkMarks, "<think>hm", Request{}, "hm", "", FinishStop, 9},
		{"stop strings", controls, "[THINK]a stop b[/THINK]c stop d", Request{Stop: []string{"stop", "c s"}}, "a stop b", "", FinishStop, 10},
		{"stop string across", opened(controls), "ab[/THINK]cd", Request{Stop: []string{"bc", "b", "THINK"}}, "ab", "cd", FinishStop, 3},
		{"grammar", controls, "[THINK]hm {[/THINK]\n\n{ab}", Request{Grammar: grammar}, "hm {", "{ab}", FinishStop, 6},
		{"grammar, text markers", thinkMarks, "<think>hm {</think>{ab}", Request{Grammar: grammar}, "hm {", "{ab}", FinishStop, 19},
		{"grammar, opened", opened(controls), "hm[/THINK]{ab}", Request{Grammar: grammar}, "hm", "{ab}", FinishStop, 3},
		{"grammar without thinking", controls, "{ab}", Request{Grammar: grammar}, "", "{ab}", FinishStop, 0},
		{"grammar of text like the marker", thinkMarks, "<this", Request{Grammar: `root ::= "<" [a-z]+`}, "", "<this", FinishStop, 0},
		{"grammar that ends in the marker's beginning", thinkMarks, "<", Request{Grammar: `root ::= "<"`}, "", "<", FinishStop, 0},
		{"grammar, and the model skips the answer", opened(controls), "hm", Request{Grammar: `root ::= "{}"`}, "hm", "{}", FinishStop, 3},
		{"budget", budget(opened(controls), 4), strings.Repeat("h", 200), Request{MaxTokens: 10}, "hhhh", "hhhhh", FinishLength, 5},
		{"budget of text markers", budget(thinkMarks, 3), "<think>abcdefghijklmnopq", Request{}, "abc", "lmnopq", FinishStop, 18},
		{"no budget", budget(opened(controls), 0), "hijk", Request{}, "", "ijk", FinishStop, 1},
		{"no budget, begun by the model", budget(controls, 0), "[THINK]hijk", Request{}, "", "ijk", FinishStop, 2},
		{"budget within a character", budget(opened(controls), 2), "höhij", Request{}, "hö", "ij", FinishStop, 4},
		{"budget with a last word", closing(budget(opened(controls), 1), " So:[/THINK]\n"), "habcdefgh", Request{}, "h So:", "gh", FinishStop, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			dec := thinkingDecoder{newFake(2, 256, 64)}
			script, err := dec.Tokenize(test.script, false, true)
			if err != nil {
				t.Fatal(err)
			}
			dec.script = tokensOf(1, script)
			e := New(dec, Options{}, nil)
			defer closeEngine(t, e)
			req := test.req
			req.Prompt, req.Logprobs, req.Thinking = prompt("q"), -1, test.marks
			if req.MaxTokens == 0 {
				req.MaxTokens = 100
			}
			got := ask(t, e, req)
			if got.err != nil || thoughtOf(got) != test.thought || got.text != test.answer || got.finish != test.finish {
				t.Errorf("thought %q, answer %q, %s, %v, want %q, %q, %s", thoughtOf(got), got.text, got.finish, got.err, test.thought, test.answer, test.finish)
			}
			if got.usage.Thinking != test.tokens {
				t.Errorf("usage %+v, want %d tokens of thinking", got.usage, test.tokens)
			}
		})
	}
}

// TestThinkingCutOff ends answers by the limit at every token, with and without a grammar. No part of a marker may be
// returned.
func TestThinkingCutOff(t *testing.T) {
	const script = "<think>\nhm\n</think>\n\n{ab}"
	dec := newFake(1, 256, 64)
	dec.script = say(1, script)
	e := New(dec, Options{}, nil)
	defer closeEngine(t, e)
	for _, grammar := range []string{"", `root ::= "{" [a-z]* "}"`} {
		for limit := 1; limit < len(script); limit++ {
			got := ask(t, e, Request{Prompt: prompt("q"), MaxTokens: limit, Logprobs: 0, Thinking: thinkMarks, Grammar: grammar})
			if !strings.HasPrefix("hm", thoughtOf(got)) || !strings.HasPrefix("{ab}", got.text) || got.finish != FinishLength || got.usage.Completion != limit {
				t.Errorf("limit %d: thought %q, answer %q, %+v, %v", limit, thoughtOf(got), got.text, got.usage, got.err)
			}
			var listed strings.Builder
			for _, token := range got.tokens {
				listed.Write(token.Piece)
			}
			if listed.String() != got.text {
				t.Errorf("limit %d: tokens %q, want those of %q", limit, listed.String(), got.text)
			}
		}
	}
}

// TestThinkingTokens checks that log probabilities cover exactly the answer's tokens, including tokens that could have begun
// a marker.
func TestThinkingTokens(t *testing.T) {
	for script, want := range map[string]string{"<think>hm</think>\n<th>": "<th>", "<th>": "<th>", "a": "a"} {
		dec := newFake(1, 256, 64)
		dec.script = say(1, script)
		e := New(dec, Options{}, nil)
		got := ask(t, e, Request{Prompt: prompt("q"), MaxTokens: 100, Logprobs: 0, Thinking: thinkMarks})
		closeEngine(t, e)
		var listed strings.Builder
		for _, token := range got.tokens {
			listed.Write(token.Piece)
		}
		if got.text != want || listed.String() != want {
			t.Errorf("%q: text %q, tokens %q, want %q", script, got.text, listed.String(), want)
		}
	}
}

func TestThinkingRefused(t *testing.T) {
	e := New(newFake(1, 64, 64), Options{}, nil)
	defer closeEngine(t, e)
	for name, marks := range map[string]Thinking{
		"no begin":  {End: "</think>"},
		"long":      {Begin: "<think>", End: strings.Repeat("x", maxMarkerBytes+1)},
		"not UTF-8": {Begin: "<think>", End: "\xff"},
		"NUL":       {Begin: "<think>", End: "</think>", Close: "\x00"},
	} {
		_, err := e.Submit(context.Background(), Request{Prompt: prompt("q"), MaxTokens: 1, Logprobs: -1, Thinking: marks})
		if err == nil || !strings.Contains(err.Error(), "thinking") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzThought splits a text into random tokens. It compares the thinking and answer of a thought with those of a splitter
// that gets the whole text.
func FuzzThought(f *testing.F) {
	f.Add("<think>\nhm\n</think>\n\nyes", []byte{1, 5, 2, 9}, false)
	f.Add(" <thi> größer", []byte{3, 1, 1}, true)
	f.Add("<think>\xff</think>\xc3", []byte{8}, false)
	f.Add("<think></think>0", []byte{48}, false)
	f.Fuzz(func(t *testing.T, text string, sizes []byte, full bool) {
		e := &Engine{dec: newFake(1, 64, 64)}
		newThought, err := e.newThoughts(thinkMarks)
		if err != nil {
			t.Fatal(err)
		}
		thought := newThought()
		var thinking, answer strings.Builder
		take := func(said []byte, tokens []earlyToken) {
			thinking.Write(said)
			for _, token := range tokens {
				answer.Write(token.piece)
			}
		}
		rest, count := text, 0
		for i := 0; rest != ""; i++ {
			size := len(rest)
			if i < len(sizes) {
				size = min(size, int(sizes[i])+1)
			}
			take(thought.add(0, []byte(rest[:size]), nil))
			rest = rest[size:]
			count++
		}
		take(thought.finish(full))
		wantThinking, wantAnswer := split(thinkMarks, text, full)
		var valid textBuffer
		valid.write([]byte(wantThinking))
		valid.flush()
		if want := string(valid.take()); thinking.String() != want || answer.String() != wantAnswer {
			t.Errorf("%q in %v: thinking %q, answer %q, want %q, %q", text, sizes, thinking.String(), answer.String(), want, wantAnswer)
		}
		if thought.tokens > count {
			t.Errorf("%d of %d tokens are thinking", thought.tokens, count)
		}
	})
}
