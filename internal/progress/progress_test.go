package progress

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"prunellm/internal/variant"
)

// TestLogLines uses a view without a terminal. It logs a line when a stage begins and ends, and none in between if little time
// passes.
func TestLogLines(t *testing.T) {
	var logged, out bytes.Buffer
	view := New(&out, slog.New(slog.NewTextHandler(&logged, nil)))
	for done := range 5 {
		view.Show(variant.Progress{Stage: variant.StageScoring1, Done: done, Total: 4, Unit: "tokens", Elapsed: time.Duration(done) * time.Second})
	}
	view.Show(variant.Progress{Stage: variant.StageWaiting, Leader: variant.StageRefitting, Step: 2, Steps: 3, Left: 90 * time.Second})
	view.Close()
	lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
	if len(lines) != 3 || out.Len() > 0 {
		t.Fatalf("%d lines, want 3, and %q besides:\n%s", len(lines), out.String(), logged.String())
	}
	for i, want := range [][]string{
		{"stage=scoring", "percent=0"}, {"percent=100", "tokens_per_second=1"}, {"stage=\"waiting for another replica\"", "leader=\"refitting down_proj\"", "step=2 steps=3", "total_time_left=1m30s"},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d is %q, want %q in it", i, lines[i], part)
			}
		}
	}
}

// TestBars uses a terminal: each stage has a bar on its own line.
func TestBars(t *testing.T) {
	var logged, out bytes.Buffer
	view := New(&out, slog.New(slog.NewTextHandler(&logged, nil)))
	view.bars = true
	view.Show(variant.Progress{Stage: variant.StageScoring1, Done: 1, Total: 4, Unit: "tokens"})
	view.Show(variant.Progress{Stage: variant.StageAssembling, Done: 1, Total: 4, Unit: "layers"})
	view.Close()
	view.Show(variant.Progress{Stage: variant.StageLoading, Done: 1, Total: 4, Unit: "layers", Step: 2, Steps: 3, Left: time.Minute})
	view.Close()
	drawn := out.String()
	if strings.Contains(drawn, "\n\n") || !strings.Contains(drawn, "loading (stage 2 of 3, 1m0s left in all)") {
		t.Errorf("drew %q, want the whole and no empty line", drawn)
	}
	view.Close()
	if logged.Len() > 0 || !strings.Contains(drawn, "scoring") || !strings.Contains(drawn, "\n\rassembling") || !strings.HasSuffix(drawn, "\n") {
		t.Errorf("drew %q and logged %q, want two bars", drawn, logged.String())
	}
	if out.String() != drawn {
		t.Errorf("a view that is closed twice also draws %q", out.String()[len(drawn):])
	}
}
