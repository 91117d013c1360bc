package nvidia

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const twoCards = "0, GPU-aaaa1111, NVIDIA H100 80GB HBM3, 9.0, 580.159.04, 81559, 81000\n1, GPU-bbbb2222, NVIDIA GB10, 12.1, 575.10, [N/A], [N/A]\n"

var cards = []GPU{
	{0, "GPU-aaaa1111", "NVIDIA H100 80GB HBM3", "9.0", "580.159.04", 81559 << 20, 81000 << 20},
	{1, "GPU-bbbb2222", "NVIDIA GB10", "12.1", "575.10", 0, 0},
}

// script returns the path of a shell script that replaces nvidia-smi.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "smi")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestQuery(t *testing.T) {
	got, err := query(t.Context(), script(t, "cat <<'E'\n"+twoCards+"E\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cards, got); diff != "" {
		t.Errorf("cards (-want +got):\n%s", diff)
	}
	if got, err := query(t.Context(), "no-such-program-as-this"); err != nil || got != nil {
		t.Errorf("without nvidia-smi: %v, %v", got, err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a driver that fails": {"echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", "version mismatch"},
		"another table":       {"echo 'a, b'", "wrong number of fields"},
		"no index":            {"echo 'x, u, n, c, d, 1, 1'", `"x"`},
	} {
		if _, err := query(t.Context(), script(t, c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	for value, want := range map[string][]GPU{
		"":           nil,
		"0":          cards[:1],
		"1, 0":       {cards[1], cards[0]},
		"GPU-bbbb":   cards[1:],
		"0,7,1":      cards[:1],
		"none":       nil,
		"GPU-cccc,0": nil,
	} {
		if diff := cmp.Diff(want, choose(cards, value)); diff != "" {
			t.Errorf("CUDA_VISIBLE_DEVICES=%q (-want +got):\n%s", value, diff)
		}
	}
}

func TestTooOld(t *testing.T) {
	if text := cards[0].TooOld(); text != "" {
		t.Errorf("driver 580: %q", text)
	}
	if text := cards[1].TooOld(); !strings.Contains(text, "575.10") || !strings.Contains(text, "580 or later") {
		t.Errorf("driver 575: %q", text)
	}
	if text := (GPU{Driver: "[N/A]"}).TooOld(); text != "" {
		t.Errorf("an unknown driver: %q", text)
	}
}
