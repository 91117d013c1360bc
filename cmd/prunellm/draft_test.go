package main

import "testing"

func TestDraftMax(t *testing.T) {
	for _, test := range []struct {
		value string
		exact bool
		want  int
		valid bool
	}{
		{"auto", true, autoDrafts, true}, {"auto", false, 0, true}, {"0", true, 0, true}, {"5", false, 5, true}, {"64", true, 64, true},
		{"65", true, 0, false}, {"-1", true, 0, false}, {"+5", true, 0, false}, {"five", true, 0, false}, {"", true, 0, false},
	} {
		f := engineFlags{DraftMax: test.value}
		if got, err := f.draftMax(test.exact); got != test.want || (err == nil) != test.valid {
			t.Errorf("--draft-max %q, exact %t: %d, %v, want %d, valid %t", test.value, test.exact, got, err, test.want, test.valid)
		}
	}
}
