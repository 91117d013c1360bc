// Package progress shows the progress of long work: as a bar on a terminal, otherwise as log lines.
//
// # Concurrency
//
// A View may be used from several goroutines.
package progress

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"prunellm/internal/variant"
)

// logInterval is the time between two log lines of one stage if there is no terminal.
const logInterval = 5 * time.Second

// View shows one piece of long work: on a terminal as a bar with stage, rate and time left, otherwise as log lines.
type View struct {
	mu     sync.Mutex
	log    *slog.Logger
	out    io.Writer
	bars   bool
	bar    *progressbar.ProgressBar
	stage  variant.Stage
	leader variant.Stage // stage of the replica for which this one waits
	logged time.Time
	told   string // the text that the bar shows
}

// New returns a view that draws on out if it is a terminal, and writes to log otherwise.
func New(out io.Writer, log *slog.Logger) *View {
	file, ok := out.(*os.File)
	return &View{log: log, out: out, bars: ok && term.IsTerminal(int(file.Fd()))}
}

// Show reports the progress of the work.
func (v *View) Show(p variant.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := p.Stage != v.stage || p.Leader != v.leader
	v.stage, v.leader = p.Stage, p.Leader
	if v.bars {
		v.draw(p, changed)
		return
	}
	done := p.Total > 0 && p.Done >= p.Total
	if !changed && !done && time.Since(v.logged) < logInterval {
		return
	}
	v.logged = time.Now()
	attrs := []any{"stage", string(p.Stage)}
	if p.Leader != "" {
		attrs = append(attrs, "leader", string(p.Leader))
	}
	if p.Steps > 0 {
		attrs = append(attrs, "step", p.Step, "steps", p.Steps)
	}
	if p.Total > 0 {
		attrs = append(attrs, "percent", int(100*p.Fraction()))
	}
	if rate := p.Rate(); rate > 0 {
		attrs = append(attrs, p.Unit+"_per_second", fmt.Sprintf("%.3g", rate), "time_left", p.Remaining().Round(time.Second).String())
	}
	if left := p.Left.Round(time.Second); left > 0 {
		attrs = append(attrs, "total_time_left", left.String())
	}
	v.log.Info("progress", attrs...)
}

func (v *View) draw(p variant.Progress, changed bool) {
	if changed {
		v.finish()
		v.bar = progressbar.NewOptions(p.Total,
			progressbar.OptionSetWriter(v.out),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString(p.Unit),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionOnCompletion(func() { fmt.Fprintln(v.out) }),
		)
	}
	if text := describe(p); text != v.told {
		v.told = text
		v.bar.Describe(text)
	}
	_ = v.bar.Set(min(p.Done, p.Total))
}

// describe returns the text of a bar in addition to its count, rate and time left.
func describe(p variant.Progress) string {
	text := variant.Progress{Stage: p.Stage, Leader: p.Leader}.String()
	if whole := p.Whole(); whole != "" {
		text += " (" + whole + ")"
	}
	return text
}

// finish ends the bar of the last stage, so that the next output starts on a new line. A complete bar has already ended its line;
// Exit ends that of an incomplete one.
func (v *View) finish() {
	if v.bar != nil && !v.bar.IsFinished() {
		_ = v.bar.Exit()
	}
	v.bar, v.told = nil, ""
}

// Close ends the bar. A later Show begins a new one.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.finish()
}
