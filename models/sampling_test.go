package models

import "testing"

func TestCheckSampling(t *testing.T) {
	for _, test := range []struct {
		name  string
		value float64
		want  string // "": within the bounds
	}{
		{"temperature", 2, ""},
		{"temperature", 2.5, "is 2.5 but must be 0 to 2"},
		{"top_k", -1, ""},
		{"top_k", 0.5, "is 0.5 but must be a whole number from -1 to 2147483647"},
		{"repetition_penalty", 0, "is 0 but must be 0.01 to 10"},
	} {
		got := ""
		if err := CheckSampling(test.name, test.value); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("CheckSampling(%s, %v) = %q, want %q", test.name, test.value, got, test.want)
		}
	}
}
