package quality

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"prunellm/infer"
)

// letters tokenizes a to c as 0 to 2. "ab" at the end of a text is one token, 2, to imitate a merge across a border.
func letters(text string, _, _ bool) ([]infer.Token, error) {
	var tokens []infer.Token
	for len(text) > 0 {
		if text == "ab" {
			return append(tokens, 2), nil
		}
		if text[0] < 'a' || text[0] > 'c' {
			return nil, errors.New("not a letter")
		}
		tokens, text = append(tokens, infer.Token(text[0]-'a')), text[1:]
	}
	return tokens, nil
}

func TestMeasureTasks(t *testing.T) {
	// After a: b likely; after b: a likely; after c: c.
	d := &tableDecoder{table: [][]float32{logits(0.1, 0.6, 0.3), logits(0.5, 0.3, 0.2), logits(0.1, 0.1, 0.8)}}
	tasks, err := ParseTasks(strings.NewReader(`{"context": "ca", "choices": ["b", "c"], "label": 0}
{"context": "ca", "choices": ["c", "bb"], "label": 1, "other": 1}

{"context": "aa", "choices": ["b", "c"], "label": 1}`))
	if err != nil || len(tasks) != 3 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	tokens, err := TokenizeTasks(letters, -1, tasks, 8)
	if err != nil || tokens.Longest != 4 {
		t.Fatalf("TokenizeTasks: longest %d, %v", tokens.Longest, err)
	}
	// "aab" ends with one token for "ab", which begins in the context.
	if got := tokens.tasks[2]; got.shared[0] != 1 || got.shared[1] != 2 {
		t.Errorf("shared tokens are %v, want 1 and 2", got.shared)
	}
	calls := 0
	result, err := MeasureTasks(t.Context(), d, tokens, func(int) { calls++ })
	if err != nil || calls != 3 {
		t.Fatalf("%v after %d tasks", err, calls)
	}
	// Task 0: 0.6 against 0.3, right. Task 1: 0.3 against 0.6*0.3 = 0.18, wrong; by byte log 0.18 / 2 is more than log 0.3.
	// Task 2: 0.3 ("ab" as a token after a) against 0.1 * ... a then c: 0.3; the first of equals, wrong.
	if want := 1.0 / 3; !near(result.Accuracy, want) || !near(result.AccuracyStderr, math.Sqrt(want*(1-want)/2)) {
		t.Errorf("accuracy %v +- %v, want %v", result.Accuracy, result.AccuracyStderr, want)
	}
	if want := 2.0 / 3; !near(result.Normalized, want) || result.Tasks != 3 {
		t.Errorf("accuracy by byte %v of %d, want %v of 3", result.Normalized, result.Tasks, want)
	}
	cut, err := TokenizeTasks(letters, -1, []Task{{Context: "aaaaaaaa", Choices: []string{"b", "cc"}}}, 4)
	if err != nil || cut.Longest != 4 {
		t.Errorf("a long context: longest %d, %v, want it cut at 4 tokens", cut.Longest, err)
	}
	if _, err := TokenizeTasks(letters, -1, []Task{{Context: "a", Choices: []string{"b", "ccccc"}}}, 4); err == nil {
		t.Error("a choice that leaves no room for its context is accepted")
	}
	// "a" and "b" together are one token, so no token is shared and start must be inserted.
	merged := []Task{{Context: "a", Choices: []string{"b", "c"}}}
	if _, err := TokenizeTasks(letters, -1, merged, 8); err == nil {
		t.Error("a scored first token without start is accepted")
	}
	begun, err := TokenizeTasks(letters, 2, merged, 8)
	if err != nil || !slices.Equal(begun.tasks[0].choices[0], []infer.Token{2, 2}) || begun.tasks[0].shared[0] != 1 ||
		!slices.Equal(begun.tasks[0].choices[1], []infer.Token{0, 2}) || begun.tasks[0].shared[1] != 1 {
		t.Errorf("a merged first token gives %+v, %v", begun, err)
	}
}

func TestParseTasksRefuses(t *testing.T) {
	for _, text := range []string{
		"", "x", "[]", `{"context":"a","choices":["b"],"label":0}`, `{"context":"a","choices":["b","c"]}`, `{"context":"a","choices":["b","c"],"label":2}`,
		`{"context":"a","choices":["b","c"],"label":-1}`, `{"context":"","choices":["b","c"],"label":0}`, `{"choices":["b","c"],"label":0}`,
		`{"context":"a","choices":["b",""],"label":0}`, `{"context":"a\u0000","choices":["b","c"],"label":0}`, "{\"context\":\"\xff\",\"choices\":[\"b\",\"c\"],\"label\":0}",
	} {
		if tasks, err := ParseTasks(strings.NewReader(text)); err == nil {
			t.Errorf("%q gives %v", text, tasks)
		}
	}
}

func FuzzParseTasks(f *testing.F) {
	f.Add(`{"context": "a", "choices": ["b", "c"], "label": 1}`)
	f.Fuzz(func(t *testing.T, text string) {
		tasks, err := ParseTasks(strings.NewReader(text))
		for _, task := range tasks {
			if err == nil && (task.Context == "" || len(task.Choices) < 2 || task.Label < 0 || task.Label >= len(task.Choices)) {
				t.Fatalf("accepted %+v", task)
			}
		}
	})
}
