package bench

import (
	"slices"
	"strings"
	"testing"
)

func TestParseTargets(t *testing.T) {
	got, err := ParseTargets([]string{"http://127.0.0.1:8080", "b=https://example.org/api/v1/", "c=http://127.0.0.1:8080/v1"})
	want := []Target{
		{Name: "127.0.0.1:8080", URL: "http://127.0.0.1:8080/v1"}, {Name: "b", URL: "https://example.org/api/v1"}, {Name: "c", URL: "http://127.0.0.1:8080/v1"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("ParseTargets = %+v, %v, want %+v", got, err, want)
	}
	for mention, texts := range map[string][]string{
		"two servers have the name \"a\"": {"a=http://x", "a=http://y"},
		"\"ftp://x\" is not a [NAME=]URL": {"http://x", "ftp://x"},
		"\"http://\" is not a":            {"http://"},
		"\"http://u@x\" is not a":         {"http://u@x"},
		"\"http://x?q=1\" is not a":       {"http://x?q=1"},
	} {
		if got, err := ParseTargets(texts); err == nil || !strings.Contains(err.Error(), mention) {
			t.Errorf("ParseTargets(%q) = %+v, %v, want an error with %s", texts, got, err, mention)
		}
	}
}
