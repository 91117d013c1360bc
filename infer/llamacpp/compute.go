package llamacpp

import (
	"runtime"
	"sync"
)

// All models of a process that run on the CPU decode one after another on one OS thread. OpenMP keeps a team of workers for
// each calling thread, and counts all workers. If there are more workers than cores, they do not spin for long at barriers.
// A token has hundreds of barriers, and each then costs a wake-up. Two models with a thread each took nearly twice as long
// per token as one, even while the other was idle (see decision 0309). Two models that decode at the same time would share
// the cores anyway.

// computeQueue receives models with a filled batch. Each model receives the result on its own channel.
var computeQueue = make(chan *Model)

// startCompute starts the thread, which runs until the process ends.
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

// decode computes the batch on the thread that all models share, after earlier batches. A model with all its layers on GPUs
// computes on its own thread: it has no team, and the handover would add a tenth to a step of a millisecond.
func (m *Model) decode() error {
	if m.onDevice {
		return m.context.Decode(m.batch)
	}
	startCompute()
	computeQueue <- m
	return <-m.decoded
}
