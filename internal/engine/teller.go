package engine

import (
	"sync"
	"time"
)

// teller passes events on, one at a time.
type teller struct {
	mu     sync.Mutex
	events func(Event)
	waits  map[string]Event // what a host is waited for just now, to be connected
}

func (t *teller) tell(event Event) {
	if t.events == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waits, event.Host)
	t.events(event)
}

// waitFor tells what a host is waited for that is being connected, which the
// signs of life of the connecting tell from now on.
func (t *teller) waitFor(host, what string) {
	event := Event{Host: host, Phase: Waiting, Text: what}
	t.tell(event)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waits == nil {
		t.waits = map[string]Event{}
	}
	t.waits[host] = event
}

// again tells an event once more, or what it has come to wait for.
func (t *teller) again(event Event) {
	t.mu.Lock()
	wait, waits := t.waits[event.Host]
	t.mu.Unlock()
	if waits && event.Phase == Connecting {
		t.waitFor(event.Host, wait.Text)
		return
	}
	t.tell(event)
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
				t.again(event)
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
