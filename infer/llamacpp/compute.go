package llamacpp

import (
	"runtime"
	"sync"
)

// All models of a process that run on the CPU decode one after another on one OS thread. OpenMP keeps a team of workers
// for each calling thread, and counts them. With more workers than cores none spins for long at its barriers, of which
// a token has hundreds, and each barrier then costs a wake-up. Two models with a thread each took nearly twice as long
// per token as one, even if the other was idle (see decision 0309). Two models that decode at the same time would share
// the same cores anyway.

// computeQueue receives models with a filled batch. Each receives the outcome on its own channel.
var computeQueue = make(chan *Model)

// startCompute starts the thread, which lasts as long as the process.
var startCompute = sync.OnceFunc(func() {
	go func() {
		runtime.LockOSThread()
		spinner := newSpinner()
		for m := range computeQueue {
			spinner.step()
			m.decoded <- m.context.Decode(m.batch)
		}
	}()
})

// decode computes the batch, after earlier ones, on the thread that all models share. With all layers on GPUs there is
// no team, and the handover would add a tenth to a step of a millisecond.
func (m *Model) decode() error {
	if m.onDevice {
		return m.context.Decode(m.batch)
	}
	startCompute()
	computeQueue <- m
	return <-m.decoded
}
