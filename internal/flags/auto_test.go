package flags

import (
	"strings"
	"testing"
)

func TestAutoOr(t *testing.T) {
	for value, want := range map[string]int{"auto": -1, "0": 0, "64": 64} {
		if got, err := AutoOr("drafts", value, -1, 64); got != want || err != nil {
			t.Errorf("AutoOr of %q = %d, %v, want %d", value, got, err, want)
		}
	}
	for _, value := range []string{"", "65", "-1", "+1", "01", "1.5", "Auto", "99999999999999999999"} {
		const want = "but must be 'auto' or a number from 0 to 64"
		if got, err := AutoOr("drafts", value, -1, 64); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AutoOr of %q = %d, %v, want an error that it %s", value, got, err, want)
		}
	}
}
