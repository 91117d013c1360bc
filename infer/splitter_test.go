package infer

import (
	"regexp"
	"strings"
	"testing"
)

// split passes a text to a splitter in pieces that end at the cuts.
func split(t Thinking, text string, full bool, cuts ...int) (thought, answer string) {
	s := NewSplitter(t)
	from := 0
	for _, to := range append(cuts, len(text)) {
		a, b := s.Add([]byte(text[from:to]))
		thought, answer = thought+string(a), answer+string(b)
		from = to
	}
	a, b := s.End(full)
	return thought + string(a), answer + string(b)
}

var thinkMarks = Thinking{Begin: "<think>", End: "</think>", Budget: -1}

func TestSplitter(t *testing.T) {
	open := thinkMarks
	open.Open = true
	for _, test := range []struct {
		name            string
		marks           Thinking
		text            string
		full            bool
		thought, answer string
	}{
		{"both", thinkMarks, "<think>\nHm, 1 < 2.\n</think>\n\nYes\n", false, "Hm, 1 < 2.", "Yes\n"},
		{"white space first", thinkMarks, " \n<think>a</think>b", false, "a", "b"},
		{"white space within", thinkMarks, "<think>a\n\n b </think>c", false, "a\n\n b", "c"},
		{"nothing thought", thinkMarks, "<think>\n\n</think>\n\nb", false, "", "b"},
		{"no thinking", thinkMarks, " a <think>b</think>", false, "", " a <think>b</think>"},
		{"much white space first", thinkMarks, strings.Repeat(" ", 40) + "<think>a</think>b", false, "", strings.Repeat(" ", 40) + "<think>a</think>b"},
		{"like a marker", thinkMarks, "<thin ice", false, "", "<thin ice"},
		{"like an end marker", thinkMarks, "<think>a</thin</think>b", false, "a</thin", "b"},
		{"a marker in the answer", thinkMarks, "<think>a</think>b</think><think>", false, "a", "b</think><think>"},
		{"a second begin", thinkMarks, "<think>a<think>b</think>c", false, "a<think>b", "c"},
		{"opened by the prompt", open, "\na</think>b", false, "a", "b"},
		{"opened by the prompt, never closed", open, "a b ", false, "a b", ""},
		{"never closed", thinkMarks, "<think>a", true, "a", ""},
		{"the end cut off by the limit", thinkMarks, "<think>a\n</thi", true, "a", ""},
		{"the end left out by the model", thinkMarks, "<think>a\n</thi", false, "a\n</thi", ""},
		{"the beginning cut off by the limit", thinkMarks, "\n<thi", true, "", ""},
		{"the beginning left out by the model", thinkMarks, "\n<thi", false, "", "\n<thi"},
		{"only white space", thinkMarks, " \n", true, "", " \n"},
		{"nothing", thinkMarks, "", true, "", ""},
		{"no answer", thinkMarks, "<think>a</think>\n\n", false, "a", ""},
		{"no marks", Thinking{}, "<think>a</think>b", false, "", "<think>a</think>b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for cut := range len(test.text) + 1 {
				if thought, answer := split(test.marks, test.text, test.full, cut); thought != test.thought || answer != test.answer {
					t.Fatalf("cut at %d: thought %q, answer %q, want %q, %q", cut, thought, answer, test.thought, test.answer)
				}
			}
		})
	}
}

// TestSplitterLeaksNoMarker ends an answer at every byte of its markers.
func TestSplitterLeaksNoMarker(t *testing.T) {
	text := "<think>\nHm.\n</think>\n\nYes"
	for end := range len(text) {
		thought, answer := split(thinkMarks, text[:end], true)
		if !strings.HasPrefix("Hm.", thought) || !strings.HasPrefix("Yes", answer) {
			t.Errorf("%q: thought %q, answer %q", text[:end], thought, answer)
		}
	}
}

// FuzzSplitter compares the result for pieces of any size with that for the whole text.
func FuzzSplitter(f *testing.F) {
	f.Add("<think>\na</think>\n\nb", uint16(3), uint16(9), false, true)
	f.Add(" a</th</think> b</think>", uint16(5), uint16(6), true, false)
	f.Add("<th", uint16(1), uint16(2), false, true)
	whole := regexp.MustCompile(`(?s)^[ \t\n\r]{0,32}<think>(.*?)(?:</think>[ \t\n\r]*(.*))?$`)
	opened := regexp.MustCompile(`(?s)^()(.*?)</think>[ \t\n\r]*(.*)$`)
	f.Fuzz(func(t *testing.T, text string, first, second uint16, open, full bool) {
		marks := thinkMarks
		marks.Open = open
		one := min(int(first), len(text))
		two := max(one, min(int(second), len(text)))
		thought, answer := split(marks, text, full, one, two)
		wantThought, wantAnswer := "", text
		switch {
		case open && opened.MatchString(text):
			found := opened.FindStringSubmatch(text)
			wantThought, wantAnswer = found[2], found[3]
		case open:
			wantThought, wantAnswer = text, ""
		case whole.MatchString(text):
			found := whole.FindStringSubmatch(text)
			wantThought, wantAnswer = found[1], found[2]
		}
		wantThought = strings.Trim(wantThought, whiteSpace)
		if full { // the possible beginning of a marker is dropped
			if wantAnswer == "" && !strings.HasSuffix(wantThought, thought) && !strings.HasPrefix(wantThought, thought) {
				t.Errorf("thought %q of %q", thought, text)
			}
			if !strings.HasPrefix(wantAnswer, answer) {
				t.Errorf("answer %q of %q", answer, text)
			}
			return
		}
		if thought != wantThought || answer != wantAnswer {
			t.Errorf("%q cut at %d and %d: thought %q, answer %q, want %q, %q", text, one, two, thought, answer, wantThought, wantAnswer)
		}
	})
}
