package host

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// tell says what a step is at.
func (b *batch) tell(index int, at hostapi.Progress) {
	at.Step, at.State = index, hostapi.Waiting
	b.hear(at)
}

// hearEvery is how soon a line is told that a command printed.
const hearEvery = time.Second

// while does something long, and tells every tellEvery that a step is at it. Of
// the lines that work hears on the way the newest is told, once in hearEvery.
func (b *batch) while(index int, at hostapi.Progress, work func(hear func(line string)) error) error {
	var heard atomic.Value
	heard.Store("")
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(hearEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			at.Took += hearEvery
			if line := heard.Load().(string); line != at.Line || at.Took%tellEvery == 0 {
				at.Line = line
				b.tell(index, at)
			}
		}
	})
	defer telling.Wait()
	defer close(done)
	return work(func(line string) { heard.Store(line) })
}
