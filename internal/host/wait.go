package host

import (
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// tell says what a step waits for.
func (b *batch) tell(index int, text string) {
	b.hear(hostapi.Progress{Step: index, State: hostapi.Waiting, Text: text})
}

// whileTelling does something long and tells every tellEvery how long it has
// taken.
func (b *batch) whileTelling(index int, text func(elapsed time.Duration) string, work func() error) error {
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		begun := time.Now()
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				b.tell(index, text(time.Since(begun)))
			}
		}
	})
	defer telling.Wait()
	defer close(done)
	return work()
}
