package engine

import (
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// Event tells what happens on a host just now. While something goes on, there
// is one at least every 5 s.
type Event struct {
	Host  string // empty: the stack as a whole
	Phase Phase
	// ID is the resource that is worked on, in the phases Uploading, Started,
	// Waiting, Done and Failed; zero where there is none.
	ID     plan.ID
	Action plan.Action // of the change that is worked on
	Adopt  bool        // it takes over what is somebody else's
	// Text says more for people: "installing", "edge to serve", a fingerprint. In
	// phase Done it says how the step ended, where not as its action has it.
	Text string
	By   string // what does it, in phase Waiting: "apt"
	Line string // that By printed last
	// Step is how many of the host's Steps are done. Both are zero until the
	// apply has begun.
	Step, Steps int
	Amount      plan.Amount   // how far it is, in the phases Uploading, where it is in bytes, and Waiting
	Took        time.Duration // in phases Done and Finished; in phase Waiting, until now, where that is known
}

// Phase is what an event is about.
type Phase string

// The phases.
const (
	Left        Phase = "left the stack file" // and is about to be looked for; Text: "edge remembers it at 10.0.0.22"
	Connecting  Phase = "connecting"
	NewHostKey  Phase = "new host key" // Text is its fingerprint; it was accepted and written down
	NotFollowed Phase = "not followed" // Text is what ssh's configuration has and relayctl does not go by: "BindInterface wg0"; of no host
	Connected   Phase = "connected"    // Text is the system: Debian 12, amd64
	Merged      Phase = "merged"       // turned out to be the machine of the host that Text names, as which it goes on
	Looked      Phase = "looked"
	Locking     Phase = "locking" // waits for the lock; Text names its holder
	Uploading   Phase = "uploading"
	Started     Phase = "started"
	Waiting     Phase = "waiting" // Text says what for
	Done        Phase = "done"
	Finished    Phase = "finished" // everything on this host is done
	Failed      Phase = "failed"   // Text is the error's summary; the whole of it comes with the outcome
	Reached     Phase = "reached"  // Text is how far a rotation is; the host "relay" is the relay itself
	Proving     Phase = "proving"  // Text is what is waited for: "llama3-8b to answer"
)

// sentOf is how far an upload is, in bytes.
func sentOf(sent, size int64) plan.Amount {
	return plan.Amount{Done: sent, Total: size, Measure: plan.InBytes}
}

// teller passes events on, one at a time.
type teller struct {
	mu     sync.Mutex
	events func(Event)
	last   map[string]Event // of each host
}

func (t *teller) tell(event Event) {
	if t.events == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]Event{}
	}
	t.last[event.Host] = event
	t.events(event)
}

// again tells an event once more, or what has come to be waited for meanwhile.
func (t *teller) again(event Event) {
	t.mu.Lock()
	last := t.last[event.Host]
	t.mu.Unlock()
	if last.Phase == Waiting {
		event = last
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
