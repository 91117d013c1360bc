package main

import (
	"os"
	"sync"
	"time"
)

// idleBeforeTraining is how long no request has to run before a training goes on.
const idleBeforeTraining = time.Second

// pauser holds a training up while requests need the cores: by a file that the worker looks for before each layer.
type pauser struct {
	mu    sync.Mutex
	path  string // of the training that runs; "" when none does
	busy  bool
	timer *time.Timer
}

// requests tells whether any request is running. It returns at once.
func (p *pauser) requests(running bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = running
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	switch {
	case p.path == "":
	case running:
		p.hold()
	default:
		p.timer = time.AfterFunc(idleBeforeTraining, p.goOn)
	}
}

// use names the file for the training that begins; the function that is returned ends that.
func (p *pauser) use(path string) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.path = path
	if p.busy {
		p.hold()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.path = ""
	}
}

// hold makes the file. The caller holds mu. Without it training goes on at low priority.
func (p *pauser) hold() {
	if file, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		_ = file.Close()
	}
}

func (p *pauser) goOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.busy && p.path != "" {
		_ = os.Remove(p.path)
	}
}
