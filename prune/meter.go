package prune

// meter reports completed work as Progress. It belongs to one goroutine.
type meter struct {
	progress Progress
	units    int // units of work for one token in the whole stage
	done     int // tokens times units
	report   func(Progress)
}

func newMeter(stage string, tokens, units int, report func(Progress)) *meter {
	return &meter{progress: Progress{Stage: stage, Total: tokens}, units: units, report: report}
}

// add counts work: tokens times units.
func (m *meter) add(tokenUnits int) {
	m.done += tokenUnits
	m.progress.Done = min(m.progress.Total, m.done/m.units)
	if m.report != nil {
		m.report(m.progress)
	}
}
