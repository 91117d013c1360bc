package llamacpp

import (
	"runtime"
	"sync"
)

// All models of a process that the processor computes decode on one OS thread, in turns. OpenMP keeps a team of workers for each thread
// that it was called from, and counts them: with more workers than cores it lets none spin for long at its barriers, of which a token
// has hundreds, and each of them then costs a wake-up. Two models with a thread each took nearly twice as long for a token as one, also
// while the other did nothing (see decision 0309). What two models compute at the same time would share the same cores anyway.

// computeQueue takes models whose batch is filled. Each hears of the outcome on its own channel.
var computeQueue = make(chan *Model)

// startCompute begins the thread. It lasts as long as the process.
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

// decode computes the batch, on the thread that all models share, after those that came before. With all layers on GPUs there is no team,
// and handing the batch over would cost a step of a millisecond a tenth of it.
func (m *Model) decode() error {
	if m.onDevice {
		return m.context.Decode(m.batch)
	}
	startCompute()
	computeQueue <- m
	return <-m.decoded
}
