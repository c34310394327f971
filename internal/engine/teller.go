package engine

import (
	"sync"
	"time"
)

// teller passes events on, one at a time.
type teller struct {
	mu     sync.Mutex
	events func(Event)
}

func (t *teller) tell(event Event) {
	if t.events == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events(event)
}

// tellEvery is how often there is a sign of life while something is waited for.
const tellEvery = 5 * time.Second

// during tells an event at once, and again every tellEvery until stop is
// called; the returned stop waits for the last one.
func (t *teller) during(event Event) (stop func()) {
	t.tell(event)
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t.tell(event)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		telling.Wait()
	}
}
