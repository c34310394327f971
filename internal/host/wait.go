package host

import (
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// tell says what a step waits for.
func (b *batch) tell(index int, text string) {
	b.hear(hostapi.Progress{Step: index, State: hostapi.Waiting, Text: text})
}

// whileTelling does something long and tells how long it has taken, at once
// and then every tellEvery.
func (b *batch) whileTelling(index int, text func(elapsed time.Duration) string, work func() error) error {
	done := make(chan error, 1)
	begun := time.Now()
	go func() { done <- work() }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			b.tell(index, text(time.Since(begun)))
		}
	}
}
