package cli

import (
	"context"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// progress follows what happens on the hosts and has it shown.
type progress struct {
	mu       sync.Mutex // guards all below, and what printers print
	states   *hostStates
	printers []printer    // empty: nobody looks
	live     *livePrinter // one of them; nil: it is none

	paused bool           // a question stands on the terminal: nothing is printed below it
	held   []engine.Event // what happened meanwhile, to be told after it
}

// printer shows the states of hosts to one kind of reader. Its methods are
// called one at a time.
type printer interface {
	// hear tells an event, which the states have taken in.
	hear(e engine.Event, now time.Time)
	// beat tells that time has passed.
	beat(now time.Time)
}

// redraws is the time between two looks at the states: ten in a second are
// smooth enough to read.
const redraws = 100 * time.Millisecond

func newProgress(v *view, hosts []string) *progress {
	p := &progress{states: &hostStates{}}
	for _, name := range hosts {
		p.states.of(name)
	}
	switch {
	case v.live != nil:
		p.live = &livePrinter{view: v, states: p.states, size: v.live}
		p.printers = append(p.printers, p.live)
		v.errs.aside = p.aside
		if v.out.terminal {
			v.out.aside = p.aside
		}
	case !v.json.on():
		p.printers = append(p.printers, newPlainPrinter(v, p.states, hosts))
	}
	if v.json.kind == typeResult {
		p.printers = append(p.printers, v.json)
	}
	return p
}

// aside makes room for what somebody else prints.
func (p *progress) aside() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live != nil {
		p.live.aside()
	}
}

// start lets time pass for the printers until ctx ends; stop waits for the end.
func (p *progress) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(redraws)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				p.beat(now)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		p.aside()
	}
}

func (p *progress) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused {
		return
	}
	for _, one := range p.printers {
		one.beat(now)
	}
}

// hear takes an event of the engine.
func (p *progress) hear(e engine.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states.take(e, time.Now())
	if p.paused && e.Phase != stopped { // after which there is no later
		p.held = append(p.held, e)
		return
	}
	p.tell(e)
}

// tell has the printers hear an event that the states have taken in.
func (p *progress) tell(e engine.Event) {
	now := time.Now()
	for _, one := range p.printers {
		one.hear(e, now)
	}
}

// pause clears the terminal for a question; resume goes on where that was.
func (p *progress) pause() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
	wasAwake := p.live != nil && p.live.awake
	if p.live != nil {
		p.live.aside()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.paused = false
		for _, e := range p.held {
			p.tell(e)
		}
		p.held = nil
		if wasAwake {
			p.live.wake(time.Now())
		}
	}
}

// begin tells that an apply begins.
func (p *progress) begin(planned plan.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states.begin(planned, time.Now())
}

// end tells that an apply has ended: the states are its record from now on.
func (p *progress) end(outcome *engine.Outcome) {
	p.mu.Lock()
	p.states.end(outcome)
	p.mu.Unlock()
	p.aside()
}
