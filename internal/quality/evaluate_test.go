package quality

import (
	"errors"
	"slices"
	"testing"

	"prunellm/infer"
)

// closingDecoder tokenizes letters and counts how often it is closed.
type closingDecoder struct {
	*tableDecoder
	closed int
}

func (d *closingDecoder) Tokenize(text string, bos, special bool) ([]infer.Token, error) {
	return letters(text, bos, special)
}
func (d *closingDecoder) Close() error { d.closed++; return nil }

func TestEvaluate(t *testing.T) {
	decoders := map[string]*closingDecoder{"dense": {tableDecoder: randomDecoder(1, 3)}, "slim": {tableDecoder: randomDecoder(2, 3)}}
	var opened, metered []string
	e := Evaluation{
		Model: "m", Dense: "dense", Variants: []Variant{{Path: "dense"}, {Path: "slim", Ratio: 0.2}}, Window: 3,
		Open: func(path string) (infer.Decoder, error) {
			opened = append(opened, path)
			return decoders[path], nil
		},
		Windows: func(infer.Decoder) ([][]infer.Token, error) { return Windows([]infer.Token{0, 1, 2, 1, 0, 0}, 3, 0) },
		Tasks:   []Task{{Context: "ca", Choices: []string{"b", "c"}}}, Start: -1,
		Meter: func(unit string, total int) (func(int), func()) {
			return func(done int) {
				if done == total {
					metered = append(metered, unit)
				}
			}, func() { metered = append(metered, "end") }
		},
	}
	report, err := Evaluate(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(opened, []string{"dense", "slim"}) || decoders["dense"].closed != 1 || decoders["slim"].closed != 1 {
		t.Errorf("opened %q, want each once and closed", opened)
	}
	if want := []string{"windows", "end", "tasks", "end"}; !slices.Equal(metered, want) {
		t.Errorf("progress %q, want %q", metered, want)
	}
	if v := report.Variants; report.Windows != 2 || v[0].KLToDense != 0 || v[1].KLToDense <= 0 || v[0].Tasks.Tasks != 1 || v[1].Tasks.Tasks != 1 {
		t.Errorf("report %+v", report)
	}
	e.Tasks = []Task{{Context: "!", Choices: []string{"b", "c"}}}
	var fault *TaskError
	if _, err := Evaluate(t.Context(), e); !errors.As(err, &fault) {
		t.Errorf("a task that is not in the vocabulary: %v, want a TaskError", err)
	}
}
